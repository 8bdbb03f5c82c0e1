# needs: gcc strace
# programs: preauth
# What a server does to a process that talks to strangers; and the same with somebody looking on.
./preauth
strace -f -qq -e trace=none -o trace ./preauth
sed 's/^[0-9]* *//' trace | grep -v SIGCHLD
