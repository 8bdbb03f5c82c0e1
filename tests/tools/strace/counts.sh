# needs: strace gcc
# programs: opens
# -c and -C: how often each call was made, and how often in vain.
. ./session.sh
strace -f -c -U name,calls,errors -S name -o trace ./opens /etc/hostname; cat trace
strace -c -U name,calls,errors -S name true 2>&1
strace -f -qq -C -U name,calls -S name -e trace=%process -o trace ./opens
per_process trace | grep '(' ; sed -n '/^syscall/,$p' trace
strace -f -c --seccomp-bpf -e trace=openat,wait4 -U calls,errors,name -S name ./opens 2>&1
