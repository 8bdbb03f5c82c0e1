# needs: bwrap strace gcc
# programs: opens
# A sandbox in the sandbox with a tracer in it, and one traced from outside of it.
. ./session.sh
box() {
  bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp --bind . /tmp/here --chdir /tmp/here \
    --unshare-user --unshare-pid --unshare-ipc --unshare-uts "$@"
}
box strace -f -qq -e trace=openat,chdir,exit_group -o trace ./opens /etc/hostname
per_process trace
box --cap-drop ALL --new-session -- grep -E '^(Seccomp|NoNewPrivs|Cap...):' /proc/self/status
strace -f -qq -e trace=unshare,clone,umount2,pivot_root,execve,exit_group -e signal=none -o outer \
  bwrap --ro-bind / / --unshare-user --unshare-pid --proc /proc --dev /dev true
per_process outer
