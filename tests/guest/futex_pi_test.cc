// Priority-inheriting futexes: FUTEX_LOCK_PI and its relatives, raw and through pthread mutexes.
#include <linux/futex.h>
#include <sys/mman.h>

#include <atomic>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

long futex(uint32_t* word, int op, uint32_t value = 0, const void* timeout = nullptr,
           uint32_t* word2 = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

uint32_t g_word;

TEST(FutexPi, LockOfAFreeWordTakesIt) {
  EXPECT_OK(futex(&g_word, FUTEX_LOCK_PI));
  EXPECT_EQ(g_word, uint32_t(gettid()));
  EXPECT_OK(futex(&g_word, FUTEX_UNLOCK_PI));
  EXPECT_EQ(g_word, 0u);
}

TEST(FutexPi, OwnLockIsEdeadlk) {
  g_word = gettid();
  EXPECT_ERR(futex(&g_word, FUTEX_LOCK_PI), EDEADLK);
  EXPECT_ERR(futex(&g_word, FUTEX_TRYLOCK_PI), EDEADLK);
}

TEST(FutexPi, UnlockOfAnothersIsEperm) {
  g_word = gettid() + 1;
  EXPECT_ERR(futex(&g_word, FUTEX_UNLOCK_PI), EPERM);
}

TEST(FutexPi, UnknownOwnerIsEsrch) {
  g_word = 1 << 22;
  EXPECT_ERR(futex(&g_word, FUTEX_LOCK_PI), ESRCH);
}

TEST(FutexPi, WaiterGetsTheLock) {
  ASSERT_OK(futex(&g_word, FUTEX_LOCK_PI));
  Thread waiter([] {
    EXPECT_OK(futex(&g_word, FUTEX_LOCK_PI));
    EXPECT_EQ(g_word & FUTEX_TID_MASK, uint32_t(gettid()));
    EXPECT_OK(futex(&g_word, FUTEX_UNLOCK_PI));
  });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(g_word & FUTEX_WAITERS, FUTEX_WAITERS);
  EXPECT_OK(futex(&g_word, FUTEX_UNLOCK_PI));
  waiter.join();
  EXPECT_EQ(g_word & FUTEX_TID_MASK, 0u);
}

TEST(FutexPi, LockTimesOut) {
  ASSERT_OK(futex(&g_word, FUTEX_LOCK_PI));
  Thread waiter([] {
    timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_nsec += 20000000;
    if (limit.tv_nsec >= 1000000000) limit = {limit.tv_sec + 1, limit.tv_nsec - 1000000000};
    EXPECT_ERR(futex(&g_word, FUTEX_LOCK_PI, 0, &limit), ETIMEDOUT);
    EXPECT_ERR(futex(&g_word, FUTEX_TRYLOCK_PI), EAGAIN);
  });
}

TEST(FutexPi, PlainWaitOnAPiWordIsNotMixed) {
  ASSERT_OK(futex(&g_word, FUTEX_LOCK_PI));
  Thread waiter([] {
    EXPECT_OK(futex(&g_word, FUTEX_LOCK_PI));
    EXPECT_OK(futex(&g_word, FUTEX_UNLOCK_PI));
  });
  wait_until_blocked(waiter.tid());
  EXPECT_ERR(futex(&g_word, FUTEX_WAKE, 1), EINVAL);
  EXPECT_OK(futex(&g_word, FUTEX_UNLOCK_PI));
}

pthread_mutex_t* pi_mutex(bool robust) {
  auto* mutex = static_cast<pthread_mutex_t*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (robust) pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  EXPECT_EQ(pthread_mutex_init(mutex, &attributes), 0);
  return mutex;
}

TEST(FutexPi, MutexCounts) {
  pthread_mutex_t* mutex = pi_mutex(false);
  int count = 0;
  auto add = [&] {
    for (int i = 0; i < 1000; ++i) {
      pthread_mutex_lock(mutex);
      ++count;
      pthread_mutex_unlock(mutex);
    }
  };
  {
    Thread a(add), b(add), c(add);
  }
  EXPECT_EQ(count, 3000);
}

TEST(FutexPi, RobustMutexOfADeadProcess) {
  pthread_mutex_t* mutex = pi_mutex(true);
  EXPECT_EXITED(run_child([&] {
                  pthread_mutex_lock(mutex);
                  _exit(0);
                }),
                0);
  EXPECT_EQ(pthread_mutex_lock(mutex), EOWNERDEAD);
  EXPECT_EQ(pthread_mutex_consistent(mutex), 0);
  EXPECT_EQ(pthread_mutex_unlock(mutex), 0);
}

TEST(FutexPi, RequeueFromACondition) {
  static uint32_t condition, lock;
  ASSERT_OK(futex(&lock, FUTEX_LOCK_PI));
  Thread waiter([] {
    EXPECT_OK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &lock));
    EXPECT_EQ(lock & FUTEX_TID_MASK, uint32_t(gettid()));
    EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
  });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 0), 1);
  EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
}

TEST(FutexPi, RequeueToAFreeLockTakesIt) {
  static uint32_t condition, lock;
  Thread waiter([] {
    EXPECT_OK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &lock));
    EXPECT_EQ(lock & FUTEX_TID_MASK, uint32_t(gettid()));
    EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
  });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 0), 1);
}

TEST(FutexPi, RequeueMovesSeveral) {
  static uint32_t condition, lock;
  static int served;
  ASSERT_OK(futex(&lock, FUTEX_LOCK_PI));
  auto wait = [] {
    EXPECT_OK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &lock));
    ++served;
    EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
  };
  Thread a(wait), b(wait), c(wait);
  wait_until_blocked(a.tid());
  wait_until_blocked(b.tid());
  wait_until_blocked(c.tid());
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, reinterpret_cast<void*>(10), &lock, 0), 3);
  EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
  a.join();
  b.join();
  c.join();
  EXPECT_EQ(served, 3);
  EXPECT_EQ(lock & FUTEX_TID_MASK, 0u);
}

TEST(FutexPi, RequeueErrors) {
  static uint32_t condition, lock, other;
  EXPECT_ERR(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 1, nullptr, &lock), EAGAIN);
  EXPECT_ERR(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &condition), EINVAL);
  EXPECT_ERR(futex(&condition, FUTEX_CMP_REQUEUE_PI, 2, nullptr, &lock, 0), EINVAL);
  EXPECT_ERR(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 1), EAGAIN);
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 0), 0);
  timespec limit;
  clock_gettime(CLOCK_MONOTONIC, &limit);
  EXPECT_ERR(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, &limit, &lock), ETIMEDOUT);
  Thread waiter([] {
    EXPECT_OK(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &lock));
    EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
  });
  wait_until_blocked(waiter.tid());
  EXPECT_ERR(futex(&condition, FUTEX_WAKE, 1), EINVAL);
  EXPECT_ERR(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &other, 0), EINVAL);
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 0), 1);
}

// Whoever waits plainly was never told of a lock.
TEST(RequeuePi, PlainWaitersAreNotMoved) {
  static uint32_t condition, lock;
  Thread waiter([] { EXPECT_OK(futex(&condition, FUTEX_WAIT_PRIVATE, 0)); });
  wait_until_blocked(waiter.tid());
  EXPECT_ERR(futex(&condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, 1, nullptr, &lock, 0), EINVAL);
  EXPECT_EQ(futex(&condition, FUTEX_WAKE_PRIVATE, 1), 1);
  waiter.join();
}

TEST(RequeuePi, SignalRestartsTheWaitUntilItWasMoved) {
  static uint32_t condition, lock;
  static std::atomic<int> handled{0};
  handle_signal(SIGUSR1, [](int) { handled++; });
  EXPECT_OK(futex(&lock, FUTEX_LOCK_PI));
  Thread waiter(
      [] { EXPECT_ERR(futex(&condition, FUTEX_WAIT_REQUEUE_PI, 0, nullptr, &lock), EAGAIN); });
  wait_until_blocked(waiter.tid());
  pthread_kill(waiter.handle(), SIGUSR1);
  while (handled < 1) usleep(1000);
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(futex(&condition, FUTEX_CMP_REQUEUE_PI, 1, nullptr, &lock, 0), 1);
  pthread_kill(waiter.handle(), SIGUSR1);
  waiter.join();
  EXPECT_EQ(handled.load(), 2);
  EXPECT_OK(futex(&lock, FUTEX_UNLOCK_PI));
}

}  // namespace
