# needs: gdb gcc
# limit: 120
# gdb in batch: breakpoints, stepping, calls, watchpoints, threads, forks, attaching.
cat >program.c <<'C'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int counter;
static int square(int n) {
  int result = n * n;
  counter += result;
  return result;
}
static void* worker(void* text) {
  square(7);
  return text;
}
int main(int argc, char** argv) {
  int sum = 0;
  for (int i = 1; i <= 3; i++) sum += square(i);
  pthread_t thread;
  pthread_create(&thread, NULL, worker, "t");
  pthread_join(thread, NULL);
  printf("sum %d counter %d\n", sum, counter);
  fflush(stdout);
  if (argc > 1) pause();
  return sum;
}
C
gcc -g -O0 -pthread -o program program.c
session() {
  local arguments=()
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    arguments+=(-ex "$1")
    shift
  done
  gdb -batch -nx -ex 'set confirm off' -ex 'set width 0' -ex 'set debuginfod enabled off' \
    -ex 'set style enabled off' "${arguments[@]}" ./program 2>&1 |
    grep -vE '^\[(New|Thread debugging|Switching)|^Using host libthread_db|^warning: (Error disabling|opening)|Thread 0x.* exited|^$' |
    sed -E 's/0x[0-9a-f]+/ADDR/g; s/\(LWP [0-9]+\)/(LWP N)/g; s/process [0-9]+/process N/g; s/pid [0-9]+/pid N/g; s/ +/ /g'
}
echo "--- breakpoint, backtrace, variables"
session 'break square' run bt 'info locals' finish 'print counter' 'delete' continue
echo "--- conditions and stepping"
session 'break square if n == 3' run 'print n' next next 'print result' step 'info breakpoints' kill
echo "--- changed values and calls"
session 'break 18' run 'print square(5)' 'set var sum = 100' 'delete' continue
echo "--- threads"
session 'break worker' run 'info threads' 'thread apply all bt 1' 'delete' continue | grep -vE '^[#0-9* ].*(clone3|start_thread|pthread_join|__futex|futex_wait)'
echo "--- software watchpoint"
session 'set can-use-hw-watchpoints 0' 'break square' run 'watch counter' continue 'delete' continue
echo "--- signals"
session 'handle SIGUSR1 stop print' 'break main' run 'signal SIGTERM'
echo "--- assembler"
session 'break square' run 'stepi' 'stepi' 'print $rip - (long)&square < 32' 'print sizeof($xmm0)' kill
echo "--- attached"
./program wait >output &
until [ -s output ]; do sleep 0.05; done
gdb -batch -nx -p $! -ex 'bt -1' -ex 'print counter' -ex detach ./program 2>/dev/null | grep -E '^\$|main' |
  sed -E 's/0x[0-9a-f]+/ADDR/g'
kill $!
wait $!
echo "exit code $?"
