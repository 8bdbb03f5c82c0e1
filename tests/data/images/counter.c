// What runs in the images of this directory: a program without a library, so that an image needs
// nothing of the host's. Two processes count lines through a pipe, and look each time whether what
// they have open still is what it was.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

static long call(long nr, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}
#define CALL1(nr, a) call(nr, (long)(a), 0, 0, 0, 0, 0)
#define CALL2(nr, a, b) call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define CALL3(nr, a, b, c) call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define CALL4(nr, a, b, c, d) call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define CALL6(nr, a, b, c, d, e, f) \
  call(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static long length(const char* text) {
  long n = 0;
  while (text[n]) n++;
  return n;
}

static void say(const char* text) { CALL3(SYS_write, 1, text, length(text)); }

static void must(long good, const char* what) {
  if (good) return;
  say("bad ");
  say(what);
  say("\n");
  CALL1(SYS_exit_group, 1);
}

static int same(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static int numbers[2], pair[2], memory, event, timer, epoll, file;
static long* shared;

static void open_everything(void) {
  must(CALL2(SYS_pipe2, numbers, O_CLOEXEC) == 0, "pipe");
  must(CALL4(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
  must(CALL3(SYS_write, pair[0], "queued", 6) == 6, "socket");
  memory = (int)CALL2(SYS_memfd_create, "kept", MFD_ALLOW_SEALING);
  must(CALL3(SYS_write, memory, "in memory", 9) == 9, "memfd");
  must(CALL3(SYS_fcntl, memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "seal");
  event = (int)CALL2(SYS_eventfd2, 5, 0);
  file = (int)CALL3(SYS_open, "/tmp/file", O_RDWR | O_CREAT, 0600);
  must(CALL3(SYS_write, file, "on the disk", 11) == 11, "file");
  must(CALL1(SYS_unlink, "/tmp/file") == 0, "unlink");
  shared =
      (long*)CALL6(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct __kernel_itimerspec period = {{0, 20000000}, {0, 20000000}};
  timer = (int)CALL2(SYS_timerfd_create, 1, 0);
  must(CALL4(SYS_timerfd_settime, timer, 0, &period, 0) == 0, "timerfd");
  epoll = (int)CALL1(SYS_epoll_create1, 0);
  struct epoll_event in = {EPOLLIN, {.u64 = 42}};
  must(CALL4(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, timer, &in) == 0, "epoll");
}

static void check_everything(long n) {
  char text[16] = {0};
  must(CALL6(SYS_recvfrom, pair[1], text, 15, MSG_PEEK, 0, 0) == 6 && same(text, "queued"),
       "socket");
  must(CALL4(SYS_pread64, memory, text, 15, 0) == 9 && same(text, "in memory"), "memfd");
  must(CALL2(SYS_fcntl, memory, F_GET_SEALS) == F_SEAL_SHRINK, "seal");
  text[11] = 0;
  must(CALL4(SYS_pread64, file, text, 15, 0) == 11 && same(text, "on the disk"), "file");
  struct pollfd ready = {event, POLLIN, 0};
  must(CALL3(SYS_poll, &ready, 1, 0) == 1, "eventfd");
  must(*shared == n, "shared memory");
}

static void count(void) {
  for (long n = 1;; n++) {
    struct epoll_event out = {0};
    unsigned long long expired;
    must(CALL4(SYS_epoll_wait, epoll, &out, 1, -1) == 1 && out.data.u64 == 42, "epoll");
    must(CALL3(SYS_read, timer, &expired, 8) == 8, "timer");
    *shared = n;
    check_everything(n);
    must(CALL3(SYS_write, numbers[1], &n, sizeof n) == sizeof n, "pipe");
  }
}

static void show(void) {
  for (;;) {
    long n, digits = 0;
    char text[24], line[24];
    must(CALL3(SYS_read, numbers[0], &n, sizeof n) == sizeof n, "pipe");
    for (; n; n /= 10) text[digits++] = (char)('0' + n % 10);
    for (long i = 0; i < digits; i++) line[i] = text[digits - 1 - i];
    line[digits] = '\n';
    CALL3(SYS_write, 1, line, digits + 1);
  }
}

void start(void) {
  open_everything();
  if (CALL1(SYS_fork, 0) == 0) show();
  count();
}
asm(".globl _start\n_start: and $-16, %rsp\n call start\n");
