# needs: gcc gdb
# if: [ "$(cat /proc/sys/kernel/core_pattern)$(cat /proc/sys/kernel/core_uses_pid)" = core0 ]
# A crashed program's core file as a debugger reads it: every thread, variables, the signal.
cat >crash.c <<'C'
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
__thread int mine = 42;
int total = 77;
char* text;
static void* worker(void* number) {
  mine = (int)(long)number;
  for (;;) pause();
}
__attribute__((noinline)) static void fall(int depth) {
  if (depth > 0)
    fall(depth - 1);
  else
    *(volatile int*)8 = 1;
  total++;
}
int main(void) {
  pthread_t threads[3];
  text = strdup("from the heap");
  for (long i = 0; i < 3; i++) pthread_create(&threads[i], NULL, worker, (void*)(i + 1));
  usleep(100000);
  fall(3);
}
C
gcc -g -O1 -pthread -o crash crash.c
ulimit -c unlimited
{ ./crash; } 2>/dev/null
echo "exit code $?"
stat -c '%A %F' core
# Addresses and process ids differ; threads other than the first come in any order.
normal() { sed -E 's/0x[0-9a-f]{6,}/ADDR/g; s/LWP [0-9]+/LWP N/g; s/reg-xstate\/[0-9]+/reg-xstate/'; }
gdb -batch -nx -ex bt -ex 'print total' -ex 'print text' -ex 'print $_siginfo.si_signo' \
  -ex 'print $_siginfo._sifields._sigfault.si_addr' -ex 'info auxv' ./crash core 2>/dev/null |
  grep -Ev '^\[New LWP|AT_(SYSINFO|HWCAP|RANDOM|BASE|ENTRY|PHDR|MINSIGSTKSZ|RSEQ|EXECFN|PLATFORM)|^(3|27|28|[45][0-9]) ' | normal
gdb -batch -nx -ex 'thread apply all bt' -ex 'thread apply all print mine' ./crash core 2>/dev/null |
  grep -E '^\$|worker|main' | normal | sed -E 's/^\$[0-9]+/value/' | sort
