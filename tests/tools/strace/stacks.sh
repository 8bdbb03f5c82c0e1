# needs: strace gcc
# programs: opens
# -k: from where each call was made.
strace -k -e trace=openat,chdir,mkdir,tgkill ./opens /etc/hostname 2>&1 |
  sed 's/tgkill([0-9]*, [0-9]*/tgkill(N, N/; s/si_pid=[0-9]*/si_pid=N/'
