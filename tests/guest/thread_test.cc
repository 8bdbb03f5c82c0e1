// Threads as glibc makes them: ids, shared state, set_tid_address, robust lists, rseq.
#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

TEST(Threads, ShareTheProcess) {
  pid_t main_tid = gettid();
  Thread thread([&] {
    EXPECT_EQ(getpid(), main_tid);
    EXPECT_NE(gettid(), main_tid);
    EXPECT_EQ(getppid(), getppid());
  });
}

TEST(Threads, ListedUnderTask) {
  int fds[2];
  MUST(pipe(fds));
  Thread thread([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  std::string path = "/proc/self/task/" + std::to_string(thread.tid());
  EXPECT_OK(access(path.c_str(), F_OK));
  EXPECT_EQ(proc_field((path + "/status").c_str(), "Tgid"), std::to_string(getpid()));
  EXPECT_EQ(proc_field((path + "/status").c_str(), "Pid"), std::to_string(thread.tid()));
  EXPECT_EQ(write(fds[1], "x", 1), 1);
}

TEST(Threads, NamesAreTheirOwn) {
  prctl(PR_SET_NAME, "main-name");
  Thread thread([] {
    char name[16];
    prctl(PR_GET_NAME, name);
    EXPECT_EQ(std::string(name), "main-name");
    prctl(PR_SET_NAME, "a name that is much too long");
    prctl(PR_GET_NAME, name);
    EXPECT_EQ(std::string(name), "a name that is ");
    EXPECT_EQ(read_file("/proc/thread-self/comm"), "a name that is \n");
  });
  thread.join();
  EXPECT_EQ(read_file("/proc/self/comm"), "main-name\n");
}

TEST(Threads, MasksAreTheirOwnDispositionsAreShared) {
  Thread thread([] {
    block_signal(SIGUSR1);
    handle_signal(SIGUSR2, SIG_IGN);
  });
  thread.join();
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  EXPECT_FALSE(sigismember(&mask, SIGUSR1));
  struct sigaction action;
  sigaction(SIGUSR2, nullptr, &action);
  EXPECT_TRUE(action.sa_handler == SIG_IGN);
}

TEST(Threads, MaskIsInherited) {
  block_signal(SIGUSR1);
  Thread thread([] {
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_TRUE(sigismember(&mask, SIGUSR1));
  });
}

TEST(Threads, MutexKeepsACountRight) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int count = 0;
  const int each = rounds(2000);
  auto add = [&] {
    for (int i = 0; i < each; ++i) {
      pthread_mutex_lock(&mutex);
      ++count;
      pthread_mutex_unlock(&mutex);
    }
  };
  {
    Thread a(add), b(add), c(add), d(add);
  }
  EXPECT_EQ(count, 4 * each);
}

TEST(Threads, ConditionVariable) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
  int turn = 0;
  auto play = [&](int self) {
    for (int i = 0; i < 100; ++i) {
      pthread_mutex_lock(&mutex);
      while (turn % 2 != self) pthread_cond_wait(&turn_changed, &mutex);
      ++turn;
      pthread_cond_broadcast(&turn_changed);
      pthread_mutex_unlock(&mutex);
    }
  };
  {
    Thread a([&] { play(0); }), b([&] { play(1); });
  }
  EXPECT_EQ(turn, 200);
}

TEST(Threads, Barrier) {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 4);
  int serial = 0;
  auto body = [&] {
    for (int i = 0; i < 20; ++i) {
      if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
        __atomic_fetch_add(&serial, 1, __ATOMIC_SEQ_CST);
      }
    }
  };
  {
    Thread a(body), b(body), c(body), d(body);
  }
  EXPECT_EQ(serial, 20);
}

TEST(Threads, ManyShortOnes) {
  int sum = 0;
  for (int i = 0; i < 100; ++i) {
    Thread thread([&] { ++sum; });
  }
  EXPECT_EQ(sum, 100);
}

TEST(Threads, ManyAtOnce) {
  constexpr int kCount = 64;
  int fds[2];
  MUST(pipe(fds));
  int sum = 0;
  Thread* threads[kCount];
  for (Thread*& thread : threads) {
    thread = new Thread([&] {
      char byte;
      EXPECT_EQ(read(fds[0], &byte, 1), 1);
      __atomic_fetch_add(&sum, 1, __ATOMIC_SEQ_CST);
    });
  }
  std::string go(kCount, 'x');
  EXPECT_EQ(write(fds[1], go.data(), go.size()), kCount);
  for (Thread* thread : threads) delete thread;
  EXPECT_EQ(sum, kCount);
}

thread_local int t_value = 3;

TEST(Threads, ThreadLocalStorage) {
  t_value = 4;
  Thread thread([] {
    EXPECT_EQ(t_value, 3);
    t_value = 5;
  });
  thread.join();
  EXPECT_EQ(t_value, 4);
}

TEST(Threads, Cancel) {
  int fds[2];
  MUST(pipe(fds));
  pthread_t handle;
  void* (*body)(void*) = [](void* fd) -> void* {
    char byte;
    [[maybe_unused]] ssize_t n = read(*static_cast<int*>(fd), &byte, 1);
    return nullptr;
  };
  ASSERT_EQ(pthread_create(&handle, nullptr, body, &fds[0]), 0);
  EXPECT_EQ(pthread_cancel(handle), 0);
  void* result = nullptr;
  EXPECT_EQ(pthread_join(handle, &result), 0);
  EXPECT_TRUE(result == PTHREAD_CANCELED);
}

TEST(Threads, TidAddressIsClearedAndWoken) {
  static int word;
  word = 1;
  Thread thread([] {
    EXPECT_EQ(syscall(SYS_set_tid_address, &word), gettid());
    usleep(10000);
    syscall(SYS_exit, 0);
  });
  while (__atomic_load_n(&word, __ATOMIC_SEQ_CST) == 1) {
    timespec limit = {1, 0};
    syscall(SYS_futex, &word, FUTEX_WAIT, 1, &limit, nullptr, 0);
  }
  EXPECT_EQ(word, 0);
  // Joining would wait for the word that is no longer the thread's.
  _exit(any_failure());
}

TEST(RobustList, GetReturnsWhatWasSet) {
  static robust_list_head head = {{&head.list}, 0, nullptr};
  EXPECT_OK(syscall(SYS_set_robust_list, &head, sizeof head));
  robust_list_head* got = nullptr;
  size_t size = 0;
  EXPECT_OK(syscall(SYS_get_robust_list, 0, &got, &size));
  EXPECT_EQ(got, &head);
  EXPECT_EQ(size, sizeof head);
}

TEST(RobustList, WrongSize) {
  static robust_list_head head = {{&head.list}, 0, nullptr};
  EXPECT_ERR(syscall(SYS_set_robust_list, &head, sizeof head - 1), EINVAL);
}

TEST(RobustList, OwnerDiedIsReported) {
  auto* mutex = static_cast<pthread_mutex_t*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(mutex, &attributes);
  EXPECT_EXITED(run_child([&] {
                  pthread_mutex_lock(mutex);
                  _exit(0);
                }),
                0);
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
  EXPECT_EQ(pthread_mutex_lock(mutex), 0);
}

TEST(RobustList, WaiterIsWokenByTheDeath) {
  auto* mutex = static_cast<pthread_mutex_t*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(mutex, &attributes);
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    pthread_mutex_lock(mutex);
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    pause();
  });
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);
  Thread waiter([&] { EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD); });
  wait_until_blocked(waiter.tid());
  MUST(kill(pid, SIGKILL));
  waiter.join();
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Rseq, GlibcRegistrationIsTheOnlyOne) {
  struct alignas(32) Area {
    uint32_t words[8];
  };
  static Area area;
  // glibc has registered its own for this thread: another address is refused.
  errno = 0;
  long result = syscall(SYS_rseq, &area, sizeof area, 0, 0x53053053);
  EXPECT_TRUE(result == 0 || errno == EINVAL || errno == EBUSY);
  EXPECT_ERR(syscall(SYS_rseq, &area, sizeof area, 4, 0x53053053), EINVAL);
}

TEST(Rseq, CpuIdIsCurrent) {
  struct alignas(32) Area {
    uint32_t cpu_id_start;
    uint32_t cpu_id;
    uint64_t critical;
    uint32_t flags;
    uint32_t padding[3];
  };
  static Area area;
  // A bare clone has no registration, so that the kernel's own answer can be seen.
  pid_t pid = fork_child([] {
    Thread thread([] {
      area.cpu_id = -1u;
      if (syscall(SYS_rseq, &area, sizeof area, 0, 0x53053053) != 0) return;
      EXPECT_LT(area.cpu_id, 4096u);
      EXPECT_OK(syscall(SYS_rseq, &area, sizeof area, 1, 0x53053053));
      EXPECT_EQ(area.cpu_id, -1u);
    });
  });
  EXPECT_EXITED(wait_for(pid), 0);
}

}  // namespace
