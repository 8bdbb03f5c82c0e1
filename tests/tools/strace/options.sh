# needs: strace gcc python3
# programs: opens
# Several options at once, of an interpreter, a pipeline and a compiler.
. ./session.sh
echo "== an interpreter"
strace -c -U name,calls,errors -S name -e trace='!sysinfo,clock_gettime' \
  python3 -I -S -c 'print(sum(range(10)))' 2>&1
strace -qq -y -T -e trace=openat,newfstatat,close -o trace python3 -I -S -c 'import json' </dev/null
sed 's/<[0-9.]*>$/<T>/; s/:\[[0-9]*\]/:[N]/g' trace
strace -k -qq -e trace=getrandom -o trace python3 -I -S -c 'pass' </dev/null; grep -c '^ >' trace
echo "== a pipeline"
strace -ff -yy -e trace=dup2,pipe2,execve -e signal=none -o pipe \
  bash -c 'cat /etc/hostname | wc -c | { read -r n; echo $((n > 0)); }'
cat $(ls -v pipe.*) | sed 's/:\[[0-9]*\]/:[N]/g'
strace -f -C -qq -U name,calls -S name -e trace=execve,pipe2,exit_group -o both \
  bash -c 'echo a | cat | cat'
per_process both | grep '(' | sort -k 2 | cut -d' ' -f2-; sed -n '/^syscall/,$p' both
echo "== a compiler"
echo 'int f(void) { return 5; }' >five.c
strace -f -c --seccomp-bpf -e trace=execve,unlink,exit_group -U calls,errors,name -S name \
  gcc -c five.c 2>&1
strace -f -qq --seccomp-bpf -e trace=none -e inject=unlink:error=EPERM -o denied gcc -c five.c
echo "gcc ended with $?"
strace -f -qq -e trace=execve -e inject=execve:delay_exit=1000:when=2 -e signal=none -o late gcc -c five.c
per_process late | cut -d' ' -f2- | grep -o '^execve("[^"]*"' | sed 's|/.*/||' | sort | uniq
