/* The guest's vDSO (vdso(7)). What Linux answers without a system call is answered without one
 * here, too: a seccomp filter may forbid the call. */
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "abi/time_page.h"

/* The page in front of this image: vdso.lds. */
extern const volatile struct usk_time_page usk_time_page __attribute__((visibility("hidden")));

static long call2(long nr, long a, long b) {
  long r;
  __asm__ volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
  return r;
}

/* Clocks that the host's function may be asked for, by what is added to them. */
#define COARSE_CLOCKS (1u << CLOCK_REALTIME_COARSE | 1u << CLOCK_MONOTONIC_COARSE)
#define REALTIME_CLOCKS (1u << CLOCK_REALTIME | 1u << CLOCK_REALTIME_COARSE | 1u << CLOCK_TAI)
#define MONOTONIC_CLOCKS                                                         \
  (1u << CLOCK_MONOTONIC | 1u << CLOCK_MONOTONIC_COARSE | 1u << CLOCK_BOOTTIME | \
   1u << CLOCK_MONOTONIC_RAW)

static int is_read_here(clockid_t clock) {
  return (unsigned)clock <= 31 && (REALTIME_CLOCKS | MONOTONIC_CLOCKS) >> clock & 1;
}

/* 0, or -1 where only the kernel can tell. */
static int read_clock(clockid_t clock, struct timespec* ts) {
  if (!is_read_here(clock)) return -1;
  const volatile struct usk_time_page* page = &usk_time_page;
  const uint32_t sequence = __atomic_load_n(&page->sequence, __ATOMIC_ACQUIRE);
  int (*host)(clockid_t, struct timespec*) =
      (int (*)(clockid_t, struct timespec*))page->host_clock_gettime;
  if (!host || sequence & 1) return -1;
  const int real = REALTIME_CLOCKS >> clock & 1;
  /* The guest has slept as long as the host; of clocks that differ in nothing else there is one. */
  const clockid_t plain = real ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  if (host(COARSE_CLOCKS >> clock & 1 ? clock : plain, ts) != 0) return -1;
  ts->tv_sec += real ? page->realtime_seconds : page->monotonic_seconds;
  ts->tv_nsec += real ? page->realtime_nanoseconds : page->monotonic_nanoseconds;
  if (ts->tv_nsec >= 1000000000) {
    ts->tv_nsec -= 1000000000;
    ts->tv_sec++;
  }
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return page->sequence == sequence ? 0 : -1;
}

int __vdso_clock_gettime(clockid_t clock, struct timespec* ts) {
  if (read_clock(clock, ts) == 0) return 0;
  return (int)call2(SYS_clock_gettime, clock, (long)ts);
}

int __vdso_gettimeofday(struct timeval* tv, void* zone) {
  struct timespec ts;
  if (zone || !tv || read_clock(CLOCK_REALTIME, &ts) != 0) {
    return (int)call2(SYS_gettimeofday, (long)tv, (long)zone);
  }
  tv->tv_sec = ts.tv_sec;
  tv->tv_usec = ts.tv_nsec / 1000;
  return 0;
}

time_t __vdso_time(time_t* to) {
  struct timespec ts;
  if (read_clock(CLOCK_REALTIME, &ts) != 0) return call2(SYS_time, (long)to, 0);
  if (to) *to = ts.tv_sec;
  return ts.tv_sec;
}

int __vdso_clock_getres(clockid_t clock, struct timespec* ts) {
  if (!is_read_here(clock)) return (int)call2(SYS_clock_getres, clock, (long)ts);
  if (ts) {
    ts->tv_sec = 0;
    ts->tv_nsec = COARSE_CLOCKS >> clock & 1 ? 4000000 : 1;
  }
  return 0;
}

long __vdso_getcpu(unsigned* cpu, unsigned* node, void* unused) {
  (void)unused;
  unsigned v = 0x7b; /* The segment whose limit Linux sets to the number of the CPU. */
  __asm__ volatile("lsl %1, %0" : "=r"(v) : "r"(v) : "cc");
  if (cpu) *cpu = v & 0xfff;
  if (node) *node = 0;
  return 0;
}

#define ALIAS(name) __attribute__((weak, alias("__vdso_" #name)))
int clock_gettime(clockid_t clock, struct timespec* ts) ALIAS(clock_gettime);
int gettimeofday(struct timeval* tv, void* zone) ALIAS(gettimeofday);
time_t time(time_t* to) ALIAS(time);
int clock_getres(clockid_t clock, struct timespec* ts) ALIAS(clock_getres);
long getcpu(unsigned* cpu, unsigned* node, void* unused) ALIAS(getcpu);
