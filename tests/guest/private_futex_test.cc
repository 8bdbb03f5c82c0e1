// Private futexes, which threads may wait for without the kernel's knowing of each wait: signals,
// stops, timeouts, counts of wake-ups.
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/time.h>

#include <vector>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

long futex(uint32_t* word, int op, uint32_t value, const void* timeout = nullptr,
           uint32_t* word2 = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, timeout, word2, value3);
}
const void* count(long n) { return reinterpret_cast<const void*>(n); }

uint32_t g_word, g_other;

int load(const int& v) { return __atomic_load_n(&v, __ATOMIC_SEQ_CST); }
uint32_t load(const uint32_t& v) { return __atomic_load_n(&v, __ATOMIC_SEQ_CST); }
template <class T>
void add(T& v, T n) {
  __atomic_fetch_add(&v, n, __ATOMIC_SEQ_CST);
}
void store(uint32_t& v, uint32_t n) { __atomic_store_n(&v, n, __ATOMIC_SEQ_CST); }

// Threads that wait for a word, asleep when the constructor returns.
class Waiters {
 public:
  Waiters(uint32_t* word, int n) {
    for (int i = 0; i < n; i++) {
      threads_.push_back(new Thread([this, word] {
        if (futex(word, FUTEX_WAIT, 0) == 0) add(woken_, 1);
      }));
      wait_until_blocked(threads_.back()->tid());
    }
  }
  ~Waiters() { join(); }
  void join() {
    for (Thread* t : threads_) delete t;
    threads_.clear();
  }
  int woken() const { return load(woken_); }
  pid_t tid(int i) { return threads_[i]->tid(); }
  const Thread& operator[](int i) { return *threads_[i]; }

 private:
  std::vector<Thread*> threads_;
  int woken_ = 0;
};

int g_handled;
void handler(int) { add(g_handled, 1); }

TEST(PrivateFutex, IsNotTheSharedOneOfTheWord) {
  Waiters waiters(&g_word, 1);
  EXPECT_EQ(syscall(SYS_futex, &g_word, FUTEX_WAKE, 1, nullptr, nullptr, 0), 0);
  Thread shared([] {
    timespec limit = ms_to_timespec(2000);
    EXPECT_OK(syscall(SYS_futex, &g_word, FUTEX_WAIT, 0, &limit, nullptr, 0));
  });
  wait_until_blocked(shared.tid());
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 1);
  EXPECT_EQ(syscall(SYS_futex, &g_word, FUTEX_WAKE, 10, nullptr, nullptr, 0), 1);
}

TEST(PrivateFutex, Errors) {
  auto* bytes = reinterpret_cast<char*>(&g_word);
  auto* odd = reinterpret_cast<uint32_t*>(bytes + 1);
  auto* nowhere = static_cast<uint32_t*>(
      MUST(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  timespec limit = {0, 1000000000};
  for (int i = 0; i < 20; i++) {  // Also when the call site is an old acquaintance.
    EXPECT_ERR(futex(odd, FUTEX_WAIT, 0), EINVAL);
    EXPECT_ERR(futex(odd, FUTEX_WAKE, 1), EINVAL);
    EXPECT_ERR(futex(nowhere, FUTEX_WAIT, 0), EFAULT);
    EXPECT_ERR(futex(reinterpret_cast<uint32_t*>(8), FUTEX_WAIT, 0), EFAULT);
    EXPECT_ERR(futex(reinterpret_cast<uint32_t*>(-4096l), FUTEX_WAKE, 0), EFAULT);
    EXPECT_ERR(futex(nowhere, FUTEX_WAKE_OP, 1, count(1), nowhere, 0), EFAULT);
    EXPECT_EQ(futex(nowhere, FUTEX_WAKE, 1), 0);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 1), EAGAIN);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), EINVAL);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, nowhere), EFAULT);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0), EINVAL);
    EXPECT_ERR(futex(&g_word, FUTEX_REQUEUE, 1, count(-1), &g_other), EINVAL);
    EXPECT_ERR(futex(&g_word, FUTEX_CMP_REQUEUE, 1, count(1), &g_other, 7), EAGAIN);
    EXPECT_ERR(futex(&g_word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1), ENOSYS);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 0), ENOSYS);
    EXPECT_ERR(futex(&g_word, 99, 0), ENOSYS);
  }
}

TEST(PrivateFutex, CountsOfTheWoken) {
  Waiters first(&g_word, 5);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 2), 2);
  EXPECT_EQ(futex(&g_word, FUTEX_REQUEUE, 1, count(1), &g_other), 2);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 1);
  EXPECT_EQ(futex(&g_other, FUTEX_WAKE, 10), 1);
  first.join();
  EXPECT_EQ(first.woken(), 5);
  Waiters here(&g_word, 1), there(&g_other, 2);
  const uint32_t add_one = uint32_t(FUTEX_OP_ADD) << 28 | FUTEX_OP_CMP_EQ << 24 | 1 << 12 | 0;
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_OP, 5, count(5), &g_other, add_one), 3);
  EXPECT_EQ(g_other, 1u);
}

TEST(PrivateFutex, Timeouts) {
  timespec limit = ms_to_timespec(30);
  int64_t begin = now_ms();
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
  EXPECT_GE(now_ms() - begin, 29);
  for (int flag : {0, FUTEX_CLOCK_REALTIME}) {
    clock_gettime(flag ? CLOCK_REALTIME : CLOCK_MONOTONIC, &limit);
    limit.tv_nsec += 30'000'000;
    if (limit.tv_nsec >= 1'000'000'000) limit = {limit.tv_sec + 1, limit.tv_nsec - 1'000'000'000};
    begin = now_ms();
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET | flag, 0, &limit, nullptr, -1u), ETIMEDOUT);
    EXPECT_GE(now_ms() - begin, 29);
    limit = {};
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET | flag, 0, &limit, nullptr, -1u), ETIMEDOUT);
  }
  limit = {INT64_MAX, 0};
  Thread waiter([&] { EXPECT_OK(futex(&g_word, FUTEX_WAIT, 0, &limit)); });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 1), 1);
}

TEST(PrivateFutex, HandlersEndOrRestartTheWait) {
  handle_signal(SIGUSR1, handler);
  handle_signal(SIGUSR2, handler, SA_RESTART);
  long result = 1, timed = 1;
  int error = 0, timed_error = 0;
  Thread plain([&] { result = futex(&g_word, FUTEX_WAIT, 0), error = errno; });
  Thread late([&] {
    timespec limit = ms_to_timespec(20'000);
    timed = futex(&g_word, FUTEX_WAIT, 0, &limit), timed_error = errno;
  });
  for (int i = 1; i <= 10; i++) {
    wait_until_blocked(plain.tid());
    pthread_kill(plain.handle(), SIGUSR2);
    while (load(g_handled) < i) usleep(100);
  }
  wait_until_blocked(plain.tid());
  wait_until_blocked(late.tid());
  pthread_kill(plain.handle(), SIGUSR1);
  pthread_kill(late.handle(), SIGUSR2);
  plain.join();
  late.join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EINTR);
  EXPECT_EQ(timed, -1);
  EXPECT_EQ(timed_error, EINTR);
}

TEST(PrivateFutex, RestartedWaitLooksAtTheWord) {
  handle_signal(SIGUSR1, [](int) { store(g_word, 1); }, SA_RESTART);
  long result = 1;
  int error = 0;
  Thread waiter([&] { result = futex(&g_word, FUTEX_WAIT, 0), error = errno; });
  wait_until_blocked(waiter.tid());
  pthread_kill(waiter.handle(), SIGUSR1);
  waiter.join();
  EXPECT_EQ(result, -1);
  EXPECT_EQ(error, EAGAIN);
}

// Stops do not prolong a timeout, and waits go on after them.
TEST(PrivateFutex, StopsAreInvisible) {
  pid_t pid = fork_child([] {
    Waiters waiters(&g_word, 3);
    const int64_t begin = now_ms();
    timespec limit = ms_to_timespec(400);
    EXPECT_ERR(futex(&g_other, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
    EXPECT_GE(now_ms() - begin, 399);
    EXPECT_LT(now_ms() - begin, 800);
    for (int i = 0; i < 3; i++) wait_until_blocked(waiters.tid(i));
    EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 3);
    waiters.join();
    EXPECT_EQ(waiters.woken(), 3);
  });
  for (int i = 0; i < 3; i++) {
    sleep_ms(50);
    kill(pid, SIGSTOP);
    wait_for_state(pid, "T");
    sleep_ms(20);
    kill(pid, SIGCONT);
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

void exec_quietly() {
  close(STDOUT_FILENO);
  execl("/proc/self/exe", "exe", "--list", nullptr);
}

TEST(PrivateFutex, ExitAndExecEndWaiters) {
  EXPECT_EXITED(run_child([] {
                  new Waiters(&g_word, 4);
                  _exit(7);
                }),
                7);
  EXPECT_EXITED(run_child([] {
                  new Waiters(&g_word, 4);
                  exec_quietly();
                }),
                0);
  EXPECT_KILLED(run_child([] {
                  new Waiters(&g_word, 4);
                  kill(getpid(), SIGKILL);
                  pause();
                }),
                SIGKILL);
  // By one that is not the leader.
  EXPECT_EXITED(run_child([] {
                  Thread([] { exec_quietly(); });
                  futex(&g_word, FUTEX_WAIT, 0);
                }),
                0);
}

TEST(PrivateFutex, ForkBesideWaiters) {
  Waiters waiters(&g_word, 3);
  EXPECT_EXITED(run_child([] {
                  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 0);
                  Waiters own(&g_word, 2);
                  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 2);
                }),
                0);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 3);
}

TEST(PrivateFutex, TracerComesAndGoes) {
  int ends[2];
  ASSERT_OK(pipe(ends));
  const pid_t pid = fork_child([&] {
    Waiters waiters(&g_word, 3);
    for (int i = 0; i < 3; i++) {
      const pid_t tid = waiters.tid(i);
      MUST(write(ends[1], &tid, sizeof tid));
    }
    timespec limit = ms_to_timespec(300);
    EXPECT_ERR(futex(&g_other, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
    for (int i = 0; i < 3; i++) wait_until_blocked(waiters.tid(i));
    EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 3);
  });
  pid_t tids[4] = {0, 0, 0, pid};
  for (int i = 0; i < 3; i++) ASSERT_EQ(read(ends[0], &tids[i], sizeof tids[i]), 4);
  for (pid_t tid : tids) {
    ASSERT_OK(ptrace(PTRACE_SEIZE, tid, 0, 0));
    ASSERT_OK(ptrace(PTRACE_INTERRUPT, tid, 0, 0));
    int status = 0;
    ASSERT_EQ(waitpid(tid, &status, __WALL), tid);
    EXPECT_TRUE(WIFSTOPPED(status));
  }
  for (pid_t tid : tids) ASSERT_OK(ptrace(PTRACE_CONT, tid, 0, 0));
  sleep_ms(20);
  for (pid_t tid : tids) {
    ASSERT_OK(ptrace(PTRACE_INTERRUPT, tid, 0, 0));
    int status = 0;
    ASSERT_EQ(waitpid(tid, &status, __WALL), tid);
    ASSERT_OK(ptrace(PTRACE_DETACH, tid, 0, 0));
  }
  EXPECT_EXITED(wait_for(pid), 0);
}

void wait_for_turn(uint32_t turn) {
  for (uint32_t now; (now = load(g_word)) != turn;) futex(&g_word, FUTEX_WAIT, now);
}

// Two threads that take turns; `sleepers` sleep all the time.
void take_turns(uint32_t turns, int sleepers) {
  Waiters aside(&g_other, sleepers);
  Thread partner([=] {
    for (uint32_t i = 0; i < turns; i++) {
      wait_for_turn(2 * i + 1);
      store(g_word, 2 * i + 2);
      futex(&g_word, FUTEX_WAKE, 1);
    }
  });
  for (uint32_t i = 0; i < turns; i++) {
    store(g_word, 2 * i + 1);
    futex(&g_word, FUTEX_WAKE, 1);
    wait_for_turn(2 * i + 2);
  }
  partner.join();
  EXPECT_EQ(futex(&g_other, FUTEX_WAKE, 10), sleepers);
}

// Seizes the process, leaves it, again and again; its wait status.
int seize_and_leave(pid_t pid, int times) {
  int status = 0;
  for (int i = 0; i < times; i++) {
    if (waitpid(pid, &status, WNOHANG) == pid) return status;
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) {  // It may have ended since.
      EXPECT_EQ(waitpid(pid, &status, WNOHANG), pid);
      return status;
    }
    for (int stops = 0; stops <= i % 2; stops++) {
      if (stops) MUST(ptrace(PTRACE_CONT, pid, 0, 0));
      usleep(stops ? 300 : 0);
      MUST(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
      MUST(waitpid(pid, &status, __WALL));
      if (!WIFSTOPPED(status)) return status;
    }
    MUST(ptrace(PTRACE_DETACH, pid, 0, 0));
    usleep(1000);
  }
  return wait_for(pid);
}

// Whether calls are watched changes all the time, with and without who waits through it.
TEST(PrivateFutex, TracersComeAndGoMeanwhile) {
  EXPECT_EXITED(seize_and_leave(fork_child([] { take_turns(rounds(5000), 0); }), 30), 0);
  EXPECT_EXITED(seize_and_leave(fork_child([] { take_turns(rounds(200), 1); }), 10), 0);
}

// A filter does not see the calls that had begun.
TEST(PrivateFutex, FilterComesMeanwhile) {
  Waiters waiters(&g_word, 3);
  long result = 1;
  Thread late([&] {
    timespec limit = ms_to_timespec(200);
    result = futex(&g_other, FUTEX_WAIT, 0, &limit) == -1 ? errno : 0;
  });
  wait_until_blocked(late.tid());
  constexpr uint32_t kOperation = offsetof(seccomp_data, args) + 8;
  sock_filter code[] = {
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_futex},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kOperation},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, FUTEX_WAIT | FUTEX_PRIVATE_FLAG},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EDOM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  const sock_fprog program = {sizeof code / sizeof code[0], code};
  ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  ASSERT_OK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program));
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0), EDOM);
  for (int i = 0; i < 3; i++) wait_until_blocked(waiters.tid(i));
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 3);
  waiters.join();
  EXPECT_EQ(waiters.woken(), 3);
  late.join();
  EXPECT_EQ(result, ETIMEDOUT);
}

// What waits for several words, or with priority inheritance, finds the others and is found.
TEST(PrivateFutex, WaitvBesidePlainWaits) {
  struct Entry {
    uint64_t value;
    uint64_t addr;
    uint32_t flags, reserved;
  };
  Waiters before(&g_word, 2);
  long index = -1;
  Thread several([&] {
    const Entry entries[] = {{0, uint64_t(&g_other), 2 | FUTEX_PRIVATE_FLAG, 0},
                             {0, uint64_t(&g_word), 2 | FUTEX_PRIVATE_FLAG, 0}};
    index = syscall(SYS_futex_waitv, entries, 2, 0, nullptr, 0);
  });
  wait_until_blocked(several.tid());
  Waiters after(&g_word, 2);
  for (int i = 0; i < 2; i++) wait_until_blocked(before.tid(i));
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 5);
  several.join();
  EXPECT_EQ(index, 1);
  before.join();
  EXPECT_EQ(before.woken(), 2);
}

TEST(PrivateFutex, PriorityInheritanceBesidePlainWaits) {
  static uint32_t lock;
  Waiters waiters(&g_word, 3);
  ASSERT_OK(futex(&lock, FUTEX_LOCK_PI, 0));
  Thread other([] {
    EXPECT_OK(futex(&lock, FUTEX_LOCK_PI, 0));
    EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI, 0));
  });
  wait_until_blocked(other.tid());
  EXPECT_ERR(futex(&lock, FUTEX_WAKE, 1), EINVAL);
  ASSERT_OK(futex(&lock, FUTEX_UNLOCK_PI, 0));
  other.join();
  for (int i = 0; i < 3; i++) wait_until_blocked(waiters.tid(i));
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 3);
}

TEST(PrivateFutex, ProcShowsASleeper) {
  Waiters waiters(&g_word, 1);
  const std::string task = "/proc/self/task/" + std::to_string(waiters.tid(0));
  EXPECT_EQ(proc_field((task + "/status").c_str(), "State").substr(0, 1), "S");
  const std::string call = read_file((task + "/syscall").c_str());
  EXPECT_EQ(call.substr(0, 4), "202 ");
  futex(&g_word, FUTEX_WAKE, 1);
}

// A wake-up has woken somebody if and only if it says so, whatever signals come in between.
TEST(PrivateFutex, NoWakeUpIsLostToASignal) {
  handle_signal(SIGUSR1, handler);
  static int returned, interrupted, end;
  const uint32_t count = rounds(3000);
  Thread waiter([] {
    while (!load(end)) {
      const long r = futex(&g_word, FUTEX_WAIT, 0);
      add(r == 0 ? returned : interrupted, 1);
    }
  });
  Thread disturber([&] {
    for (uint32_t i = 0; !load(end); i++) {
      pthread_kill(waiter.handle(), SIGUSR1);
      usleep(i % 50);
    }
  });
  int told = 0;
  for (uint32_t i = 0; i < count; i++) {
    told += int(futex(&g_word, FUTEX_WAKE, 1));
    if (i % 7 == 0) sched_yield();
    if (i % 64 == 0) usleep(50);
  }
  add(end, 1);
  disturber.join();
  do {
    told += int(futex(&g_word, FUTEX_WAKE, 1));
    usleep(100);
  } while (syscall(SYS_tgkill, getpid(), waiter.tid(), SIGUSR1) == 0);
  waiter.join();
  EXPECT_EQ(told, returned);
}

// Mutexes and conditions under an interval timer.
struct Channel {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  uint64_t value = 0;
  bool full = false;
  void put(uint64_t v) {
    pthread_mutex_lock(&mutex);
    while (full) pthread_cond_wait(&changed, &mutex);
    value = v, full = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
  uint64_t take() {
    pthread_mutex_lock(&mutex);
    while (!full) pthread_cond_wait(&changed, &mutex);
    full = false;
    const uint64_t v = value;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    return v;
  }
};

void tick(int microseconds) {
  const itimerval every = {{0, microseconds}, {0, microseconds}};
  ASSERT_OK(setitimer(ITIMER_REAL, &every, nullptr));
}

void pass_through_channels(int flags) {
  constexpr int kThreads = 3;
  static const uint64_t values = rounds(2000);
  handle_signal(SIGALRM, handler, flags);
  static Channel channels[kThreads + 1];
  tick(700);
  uint64_t sum = 0;
  {
    Thread a([] {
      for (uint64_t i = 1; i <= values; i++) channels[0].put(i);
    });
    Thread b([] {
      for (uint64_t i = 1; i <= values; i++) channels[1].put(channels[0].take() + 1);
    });
    Thread c([] {
      for (uint64_t i = 1; i <= values; i++) channels[2].put(channels[1].take() + 1);
    });
    for (uint64_t i = 1; i <= values; i++) sum += channels[2].take();
  }
  tick(0);
  EXPECT_EQ(sum, values * (values + 1) / 2 + 2 * values);
}

TEST(PrivateFutex, ChannelsUnderATimerWithSaRestart) { pass_through_channels(SA_RESTART); }
TEST(PrivateFutex, ChannelsUnderATimer) { pass_through_channels(0); }

// Each thread has the word when it holds its number.
TEST(PrivateFutex, PingPongAcrossForksAndCalls) {
  static constexpr uint32_t kThreads = 3;
  static const uint32_t turns = rounds(1500);
  auto take_turns = [](uint32_t own) {
    for (uint32_t i = 0; i < turns; i++) {
      for (uint32_t v; (v = load(g_word)) % kThreads != own;) futex(&g_word, FUTEX_WAIT, v);
      if (i % 100 == own) EXPECT_EXITED(run_child([] {}), 0);
      if (i % 10 == own) getppid();
      add(g_word, 1u);
      futex(&g_word, FUTEX_WAKE, 100);
    }
  };
  Thread a([&] { take_turns(0); }), b([&] { take_turns(1); }), c([&] { take_turns(2); });
  a.join(), b.join(), c.join();
  EXPECT_EQ(g_word, kThreads * turns);
}

}  // namespace
