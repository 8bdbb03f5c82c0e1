// Tasks that wait, or stand still, while the sandbox is saved and restored: docs/CHECKPOINTS.md. As
// everywhere, the moment is whenever a call begins to wait.
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>

#include <atomic>

#include "tests/guest/seccomp_filters.h"
#include "tests/guest/tracing.h"

namespace {

using namespace guest;

// What *-saved runs save here.
void checkpoint() { usleep(1000); }

template <class T>
T* shared() {
  void* p = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) abandon();
  return new (p) T();
}

TEST(SavedCalls, VforkWait) {
  const int before = getpid();
  volatile int seen = 0;
  const pid_t child = vfork();
  if (child == 0) {
    checkpoint();
    seen = getppid();
    _exit(7);
  }
  EXPECT_EQ(int(seen), before);
  EXPECT_EXITED(wait_for(child), 7);
}

TEST(SavedCalls, ExecveThatWaitsForItsSiblings) {
  const pid_t leader = traced_child(
      [] {
        Thread sibling([] { pause(); });
        (void)sibling.tid();
        char* const argv[] = {const_cast<char*>("true"), nullptr};
        execv("/bin/true", argv);
        _exit(9);
      },
      PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC);
  raw_ptrace(PTRACE_CONT, leader, 0, 0);
  EXPECT_STOP(leader, SIGTRAP, PTRACE_EVENT_CLONE);
  const pid_t sibling = pid_t(event_message(leader));
  EXPECT_STOP(sibling, SIGSTOP);
  raw_ptrace(PTRACE_CONT, sibling, 0, 0);
  raw_ptrace(PTRACE_CONT, leader, 0, 0);
  EXPECT_STOP(sibling, SIGTRAP, PTRACE_EVENT_EXIT);  // The leader waits for it to go on.
  checkpoint();
  EXPECT_EQ(waitpid(leader, nullptr, WNOHANG | __WALL), 0);
  raw_ptrace(PTRACE_CONT, sibling, 0, 0);
  EXPECT_STATUS(sibling, 0);
  EXPECT_STOP(leader, SIGTRAP, PTRACE_EVENT_EXEC);
  checkpoint();
  raw_ptrace(PTRACE_CONT, leader, 0, 0);
  EXPECT_STOP(leader, SIGTRAP, PTRACE_EVENT_EXIT);
  raw_ptrace(PTRACE_CONT, leader, 0, 0);
  EXPECT_STATUS(leader, 0);
}

TEST(SavedCalls, SeccompEventStop) {
  const pid_t child = traced_child(
      [] {
        confine(on_call(SYS_getppid, SECCOMP_RET_TRACE | 77));
        _exit(int(syscall(SYS_getppid, 1, 2, 3)));
      },
      PTRACE_O_TRACESECCOMP);
  raw_ptrace(PTRACE_CONT, child, 0, 0);
  EXPECT_STOP(child, SIGTRAP, PTRACE_EVENT_SECCOMP);
  checkpoint();
  EXPECT_EQ(event_message(child), 77u);
  user_regs_struct r = get_regs(child);
  EXPECT_EQ(r.orig_rax, unsigned(SYS_getppid));
  EXPECT_EQ(r.rdx, 3u);
  r.orig_rax = ~0ul;
  r.rax = 42;
  set_regs(child, r);
  checkpoint();
  raw_ptrace(PTRACE_CONT, child, 0, 0);
  EXPECT_STATUS(child, 42 << 8);
}

TEST(SavedCalls, SyscallStopsAndListening) {
  const pid_t child = plain_child([] {
    for (;;) syscall(SYS_getppid);
  });
  ASSERT_EQ(raw_ptrace(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD), 0);
  raw_ptrace(PTRACE_INTERRUPT, child, 0, 0);
  EXPECT_STOP(child, SIGTRAP, PTRACE_EVENT_STOP);
  for (int i = 0; i < 4; i++) {
    raw_ptrace(PTRACE_SYSCALL, child, 0, 0);
    EXPECT_STOP(child, SIGTRAP | 0x80);
    checkpoint();
  }
  raw_ptrace(PTRACE_CONT, child, 0, 0);
  kill(child, SIGSTOP);
  EXPECT_STOP(child, SIGSTOP);
  raw_ptrace(PTRACE_CONT, child, 0, SIGSTOP);
  EXPECT_STOP(child, SIGSTOP, PTRACE_EVENT_STOP);
  checkpoint();
  EXPECT_EQ(raw_ptrace(PTRACE_LISTEN, child, 0, 0), 0);
  checkpoint();
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG | __WALL), 0);
  kill(child, SIGCONT);
  EXPECT_STOP(child, SIGTRAP, PTRACE_EVENT_STOP);
  kill(child, SIGKILL);
  EXPECT_STATUS(child, SIGKILL);
}

TEST(SavedCalls, GroupStopAndZombie) {
  auto* told = shared<std::atomic<int>>();
  const pid_t child = fork_child([&] {
    raise(SIGSTOP);
    while (*told == 0) usleep(1000);
    _exit(5);
  });
  int status;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  checkpoint();
  EXPECT_EQ(waitpid(child, &status, WUNTRACED | WNOHANG), 0);  // It was told already.
  kill(child, SIGCONT);
  ASSERT_EQ(waitpid(child, &status, WCONTINUED), child);
  EXPECT_TRUE(WIFCONTINUED(status));
  *told = 1;
  wait_for_state(child, "Z");
  checkpoint();
  EXPECT_EXITED(wait_for(child), 5);
}

TEST(SavedCalls, UserNotification) {
  std::atomic<long> listener{0}, result{0};
  Thread asker([&] {
    no_new_privs();
    listener =
        set_filter(on_call(SYS_getppid, SECCOMP_RET_USER_NOTIF), SECCOMP_FILTER_FLAG_NEW_LISTENER);
    result = syscall(SYS_getppid, 1, 2, 3);
  });
  while (listener == 0) usleep(100);
  if (listener < 0) abandon();
  wait_until_blocked(asker.tid());
  checkpoint();  // Nobody has taken it.
  seccomp_notif call{};
  MUST(ioctl(int(listener), SECCOMP_IOCTL_NOTIF_RECV, &call));
  EXPECT_EQ(call.pid, unsigned(asker.tid()));
  EXPECT_EQ(call.data.args[2], 3u);
  checkpoint();  // It is not answered.
  EXPECT_OK(ioctl(int(listener), SECCOMP_IOCTL_NOTIF_ID_VALID, &call.id));
  seccomp_notif_resp answer{};
  answer.id = call.id;
  answer.val = 1234;
  EXPECT_OK(ioctl(int(listener), SECCOMP_IOCTL_NOTIF_SEND, &answer));
  asker.join();
  EXPECT_EQ(long(result), 1234);
  close(int(listener));
}

TEST(SavedCalls, PriorityInheritingFutex) {
  std::atomic<int> taken{0};
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_t mutex;
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutex_lock(&mutex);
  Thread waiter([&] {
    taken = 100 + pthread_mutex_lock(&mutex);
    checkpoint();
    pthread_exit(nullptr);  // Without giving it back.
  });
  wait_until_blocked(waiter.tid());
  checkpoint();
  EXPECT_EQ(int(taken), 0);
  pthread_mutex_unlock(&mutex);
  waiter.join();
  EXPECT_EQ(int(taken), 100);
  EXPECT_EQ(pthread_mutex_lock(&mutex), EOWNERDEAD);
}

TEST(SavedCalls, RobustListOfAProcess) {
  auto* mutex = shared<pthread_mutex_t>();
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(mutex, &attributes);
  auto* locked = shared<std::atomic<int>>();
  const pid_t child = fork_child([&] {
    pthread_mutex_lock(mutex);
    *locked = 1;
    pause();
  });
  while (*locked == 0) usleep(100);
  std::atomic<int> result{0};
  Thread waiter([&] { result = pthread_mutex_lock(mutex); });
  wait_until_blocked(waiter.tid());
  checkpoint();
  kill(child, SIGKILL);
  EXPECT_KILLED(wait_for(child), SIGKILL);
  waiter.join();
  EXPECT_EQ(int(result), EOWNERDEAD);
}

TEST(SavedCalls, BrokenLease) {
  write_file("leased", "text");
  auto* ready = shared<std::atomic<int>>();
  const pid_t holder = fork_child([&] {
    block_signal(SIGIO);
    UniqueFd fd(MUST(open("leased", O_RDONLY)));
    MUST(fcntl(fd.get(), F_SETLEASE, F_RDLCK));
    *ready = 1;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    siginfo_t info;
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGIO);
    *ready = 2;
    while (*ready == 2) usleep(1000);
    EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_UNLCK);
    MUST(fcntl(fd.get(), F_SETLEASE, F_UNLCK));
  });
  while (*ready == 0) usleep(100);
  checkpoint();
  EXPECT_ERR(open("leased", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  while (*ready == 1) usleep(100);
  std::atomic<int> opened{-1};
  Thread opener([&] { opened = open("leased", O_WRONLY); });
  wait_until_blocked(opener.tid());
  checkpoint();
  EXPECT_EQ(int(opened), -1);
  *ready = 3;
  opener.join();
  EXPECT_GE(int(opened), 0);
  EXPECT_EXITED(wait_for(holder), 0);
  close(opened);
}

TEST(SavedCalls, LocksThatAreWaitedFor) {
  UniqueFd fd(MUST(open("locked", O_CREAT | O_RDWR, 0600)));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
  MUST(fcntl(fd.get(), F_SETLK, &lock));
  const pid_t child = fork_child([] {
    UniqueFd own(MUST(open("locked", O_RDWR)));
    struct flock wanted = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 29, .l_len = 1};
    EXPECT_OK(fcntl(own.get(), F_SETLKW, &wanted));
  });
  wait_until_blocked(child);
  checkpoint();
  EXPECT_EQ(waitpid(child, nullptr, WNOHANG), 0);
  lock.l_type = F_UNLCK;
  MUST(fcntl(fd.get(), F_SETLK, &lock));
  EXPECT_EXITED(wait_for(child), 0);
}

TEST(SavedCalls, WritersAndOpenersOfPipes) {
  int fds[2];
  MUST(pipe(fds));
  const int size = MUST(fcntl(fds[1], F_SETPIPE_SZ, 8192));
  std::string much(size_t(size) + 1000, 'a');
  much.back() = 'z';
  Thread writer([&] { EXPECT_EQ(write(fds[1], much.data(), much.size()), ssize_t(much.size())); });
  MUST(mkfifo("fifo", 0600));
  std::atomic<int> reader_end{-1};
  Thread opener([&] { reader_end = open("fifo", O_RDONLY); });
  wait_until_blocked(writer.tid());
  wait_until_blocked(opener.tid());
  checkpoint();
  EXPECT_EQ(fcntl(fds[0], F_GETPIPE_SZ), size);
  std::string got(much.size(), 0);
  for (size_t n = 0; n < got.size();) n += size_t(MUST(int(read(fds[0], &got[n], got.size() - n))));
  EXPECT_TRUE(got == much);
  UniqueFd writer_end(MUST(open("fifo", O_WRONLY)));
  opener.join();
  EXPECT_GE(int(reader_end), 0);
  close(reader_end);
}

// In the handler of a signal, on a stack of its own, with values in vector registers.
std::atomic<int> handled{0};
TEST(SavedCalls, HandlersAndRegisters) {
  std::string stack(65536, 0);
  stack_t alternative = {.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
  MUST(sigaltstack(&alternative, nullptr));
  handle_signal_info(
      SIGUSR1,
      [](int, siginfo_t* info, void*) {
        checkpoint();
        stack_t now;
        sigaltstack(nullptr, &now);
        handled = now.ss_flags == SS_ONSTACK ? info->si_value.sival_int : -1;
      },
      SA_ONSTACK);
  double values[2] = {1.5, -2.25}, back[2] = {0, 0};
  const pid_t pid = getpid();
  sigqueue(pid, SIGUSR1, {.sival_int = 31});
  EXPECT_EQ(int(handled), 31);
  timespec moment = {0, 1000000};
  long result = SYS_nanosleep;
  asm volatile(
      "movupd %2, %%xmm6\n xor %%esi, %%esi\n lea %3, %%rdi\n syscall\n movupd %%xmm6, %1\n"
      : "+a"(result), "=m"(back)
      : "m"(values), "m"(moment)
      : "rdi", "rsi", "rcx", "r11", "xmm6", "memory");
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(back[0] == values[0] && back[1] == values[1]);
}

TEST(SavedCalls, QueuedSignals) {
  block_signal(SIGRTMIN + 1);
  block_signal(SIGUSR1);
  for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN + 1, {.sival_int = i});
  tgkill(getpid(), gettid(), SIGUSR1);
  checkpoint();
  sigset_t pending, set;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  for (int i = 0; i < 3; i++) {
    siginfo_t info;
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMIN + 1);
    EXPECT_EQ(info.si_value.sival_int, i);
    EXPECT_EQ(info.si_code, SI_QUEUE);
    checkpoint();
  }
}

TEST(SavedCalls, TimersKeepWhatIsLeft) {
  itimerval alarm = {.it_interval = {0, 0}, .it_value = {100, 0}}, left;
  MUST(setitimer(ITIMER_REAL, &alarm, nullptr));
  timer_t timer;
  sigevent none = {};
  none.sigev_notify = SIGEV_NONE;
  MUST(timer_create(CLOCK_MONOTONIC, &none, &timer));
  itimerspec periodic = {.it_interval = {0, 5000000}, .it_value = {0, 5000000}}, rest;
  MUST(timer_settime(timer, 0, &periodic, nullptr));
  UniqueFd fd(MUST(timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK)));
  itimerspec later = {.it_interval = {0, 0}, .it_value = {200, 0}};
  MUST(timerfd_settime(fd.get(), 0, &later, nullptr));
  for (int i = 0; i < 5; i++) checkpoint();
  MUST(getitimer(ITIMER_REAL, &left));
  EXPECT_TRUE(left.it_value.tv_sec >= 50 && left.it_value.tv_sec < 100);
  MUST(timer_gettime(timer, &rest));
  EXPECT_EQ(rest.it_interval.tv_nsec, 5000000);
  EXPECT_LE(rest.it_value.tv_nsec, 5000000);
  MUST(timerfd_gettime(fd.get(), &rest));
  EXPECT_TRUE(rest.it_value.tv_sec >= 150 && rest.it_value.tv_sec < 200);
}

TEST(SavedCalls, ClocksDoNotGoBack) {
  constexpr clockid_t kClocks[] = {CLOCK_REALTIME,          CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW,
                                   CLOCK_REALTIME_COARSE,   CLOCK_BOOTTIME,  CLOCK_MONOTONIC_COARSE,
                                   CLOCK_PROCESS_CPUTIME_ID};
  int64_t last[std::size(kClocks)] = {};
  for (int i = 0; i < 20; i++) {
    for (size_t c = 0; c < std::size(kClocks); c++) {
      timespec now;
      MUST(clock_gettime(kClocks[c], &now));
      const int64_t at = now.tv_sec * int64_t{1000000000} + now.tv_nsec;
      EXPECT_GE(at, last[c]);
      last[c] = at;
    }
    checkpoint();
  }
}

// timerfd_create(2): only a clock that somebody sets cancels it.
TEST(SavedCalls, TimerThatIsCancelledWhenTheClockIsSet) {
  UniqueFd fd(MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK)));
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  itimerspec later = {.it_interval = {0, 0}, .it_value = {now.tv_sec + 1000, 0}};
  MUST(timerfd_settime(fd.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &later, nullptr));
  checkpoint();
  uint64_t count;
  EXPECT_ERR(read(fd.get(), &count, sizeof count), EAGAIN);
  if (!getenv("OWN_MACHINE")) return;
  clock_gettime(CLOCK_REALTIME, &now);
  now.tv_sec += 5;
  MUST(clock_settime(CLOCK_REALTIME, &now));
  checkpoint();
  EXPECT_ERR(read(fd.get(), &count, sizeof count), ECANCELED);
}

}  // namespace
