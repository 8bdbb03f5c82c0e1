# needs: strace gcc
# programs: catcher
# -e inject: errors, results, signals and delays.
try() {
  echo "== $*"
  strace -e trace=getpgid "$@" ./catcher 2>&1
}
try -e inject=getpgid:error=ENOLINK
try -e inject=getpgid:retval=77:when=2
try -e inject=getpgid:signal=USR1:when=1+2
try -e inject=getpgid:error=EXDEV:signal=TERM:when=3
try -e inject=getpgid:delay_enter=1000:delay_exit=1000
strace -e trace=getpgid,exit_group -e inject=getpgid:syscall=getppid:when=2 ./catcher 2>&1 |
  sed 's/(0\?-\?1\?) = [0-9]* /() = N /'
try --seccomp-bpf -f -e inject=getpgid:error=EDOM:when=2..3
try -e inject=getpgid:poke_enter=@arg1=aa:when=4
strace -e trace=none -e inject=exit_group:signal=KILL ./catcher
echo "ended with $?"
