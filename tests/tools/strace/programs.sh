# needs: strace gcc python3
# Larger programs: an interpreter, a compiler, with all their calls in order.
strace -e trace='!sysinfo' -o trace python3 -I -S -c 'print(sum(range(10)))' </dev/null
cat trace
echo 'int main(void) { return 5; }' >five.c
strace -f --seccomp-bpf -e trace=execve,vfork,clone,clone3,exit_group,kill -o more gcc -o five five.c
grep -c execve more
strace -ff -e trace=execve,unlink,rename,chmod,fchmod -e signal=none -o each gcc -O2 -c five.c
cat $(ls -v each.*) | sed 's|/tmp/cc[A-Za-z0-9]*|/tmp/ccX|g'
