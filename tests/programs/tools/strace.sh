# needs: strace gcc
# strace as people use it: calls in order, children and threads, faults made up, signals, a summary.
# Addresses, process ids and what libraries do at the start differ; the rest does not.
normal() {
  sed -E 's/0x[0-9a-f]+/ADDR/g; s/\[pid +[0-9]+\]/[pid N]/; s/^[0-9]+ +//; s/(si_pid|si_uid)=[0-9]+/\1=N/g
    s/= [0-9]{2,}$/= N/; s/(kill|tgkill|wait4|getpid)\([0-9]+(, [0-9]+)?/\1(N/g; s/ +/ /g'
}
cat >calls.c <<'C'
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static void on_signal(int number) { (void)number; }
int main(void) {
  char text[32];
  int fd = open("some file", O_RDWR | O_CREAT | O_TRUNC, 0640);
  write(fd, "hello\n", 6);
  pread(fd, text, sizeof text, 2);
  if (open("/no/such", O_RDONLY) < 0 && errno == ENOENT) write(1, "none\n", 5);
  signal(SIGUSR1, on_signal);
  raise(SIGUSR1);
  int fds[2];
  pipe(fds);
  if (fork() == 0) {
    close(fds[0]);
    write(fds[1], "child", 5);
    usleep(100000);  // The parent waits by now.
    _exit(3);
  }
  close(fds[1]);
  read(fds[0], text, 5);
  int status;
  wait(&status);
  write(1, "done\n", 5);
  return WEXITSTATUS(status);
}
C
gcc -O1 -o calls calls.c 2>/dev/null
echo "--- calls"
strace -o log -e trace=openat,write,pread64,pipe2,close,read ./calls
echo "exit code $?"
sed -n '/some file/,$p' log | normal
echo "--- children"
strace -f -o log -e trace=write,exit_group,wait4,clone,fork -e signal=none ./calls >/dev/null
grep -cE 'write\(|exit_group' log
grep -oE '(exited with [0-9]+|"child", 5\) += 5|killed by SIG[A-Z]+)' log | sort
echo "--- signals"
strace -o log -e trace=none ./calls >/dev/null
normal <log
echo "--- made-up results"
strace -o log -e inject=openat:error=EACCES:when=3+ -e trace=openat ./calls 2>&1
grep -c INJECTED log
strace -o log -e trace=pipe2 -e inject=pipe2:error=EMFILE ./calls >/dev/null 2>&1
normal <log | tail -n 2 | head -n 1
echo "--- killed"
strace -o log -e trace=none sh -c 'kill -TERM $$'
echo "exit code $?"
normal <log
echo "--- summary"
strace -c -o log ./calls >/dev/null
awk '$NF ~ /^(write|pread64|wait4)$/ {print $NF, $4}' log | sort
echo "--- attached"
sleep 100 &
sleeper=$!
strace -o log -p $sleeper 2>said &
tracer=$!
until grep -q attached said; do sleep 0.05; done
kill $sleeper
wait $tracer
grep -oE -e '--- SIGTERM|killed by SIGTERM' log
