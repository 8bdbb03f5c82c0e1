// futex(2): waiting, waking, requeueing, wake-op, bitsets, waitv.
#include <linux/futex.h>
#include <sys/mman.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

long futex(uint32_t* word, int op, uint32_t value, const void* timeout = nullptr,
           uint32_t* word2 = nullptr, uint32_t value3 = 0) {
  return syscall(SYS_futex, word, op, value, timeout, word2, value3);
}

// The fourth argument of the requeueing operations is a count.
const void* count(long n) { return reinterpret_cast<const void*>(n); }

uint32_t* shared_words() {
  return static_cast<uint32_t*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)));
}

uint32_t g_word, g_other;

TEST(Futex, WaitWithAnotherValueIsEagain) {
  g_word = 5;
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 6), EAGAIN);
}

TEST(Futex, WaitTimesOut) {
  timespec limit = ms_to_timespec(20);
  int64_t start = now_ms();
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
  EXPECT_GE(now_ms() - start, 19);
}

TEST(Futex, ZeroTimeoutAndBadOnes) {
  timespec limit = {0, 0};
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
  limit = {0, 1000000000};
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), EINVAL);
  limit = {-1, 0};
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), EINVAL);
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, reinterpret_cast<void*>(8)), EFAULT);
}

TEST(Futex, AddressErrors) {
  auto* bytes = reinterpret_cast<char*>(&g_word);
  EXPECT_ERR(futex(reinterpret_cast<uint32_t*>(bytes + 1), FUTEX_WAIT, 0), EINVAL);
  EXPECT_ERR(futex(reinterpret_cast<uint32_t*>(8), FUTEX_WAIT, 0), EFAULT);
  EXPECT_ERR(futex(nullptr, FUTEX_WAKE, 1), EFAULT);
  EXPECT_ERR(futex(&g_word, 99, 0), ENOSYS);
}

TEST(Futex, WakeWithoutWaitersIsZero) { EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 1), 0); }

// Threads that wait on a word until they are woken.
class Waiters {
 public:
  Waiters(uint32_t* word, int n, int op = FUTEX_WAIT) : n_(n) {
    for (int i = 0; i < n; ++i) {
      threads_[i] = new Thread([this, word, op] {
        if (futex(word, op, 0, nullptr, nullptr, -1u) == 0) __atomic_fetch_add(&woken_, 1, 5);
      });
      wait_until_blocked(threads_[i]->tid());
    }
  }
  void join() {
    for (int i = 0; i < n_; ++i) delete std::exchange(threads_[i], nullptr);
  }
  int woken() { return __atomic_load_n(&woken_, 5); }
  void expect_woken(int n) {
    for (int i = 0; i < 2000 && woken() < n; ++i) usleep(500);
    EXPECT_EQ(woken(), n);
  }

 private:
  int n_;
  int woken_ = 0;
  Thread* threads_[8] = {};
};

TEST(Futex, WakeWakesThatMany) {
  Waiters waiters(&g_word, 3);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 2), 2);
  waiters.expect_woken(2);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 100), 1);
  waiters.join();
  EXPECT_EQ(waiters.woken(), 3);
}

TEST(Futex, PrivateWakesPrivate) {
  Waiters waiters(&g_word, 1, FUTEX_WAIT_PRIVATE);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_PRIVATE, 1), 1);
  waiters.join();
}

TEST(Futex, SharedAcrossProcesses) {
  uint32_t* word = shared_words();
  pid_t pid = fork_child([&] { EXPECT_OK(futex(word, FUTEX_WAIT, 0)); });
  wait_until_blocked(pid);
  EXPECT_EQ(futex(word, FUTEX_WAKE, 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Futex, SharedThroughTwoMappings) {
  int fd = MUST(memfd_create("words", 0));
  MUST(ftruncate(fd, 4096));
  auto map = [&] {
    return static_cast<uint32_t*>(
        MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)));
  };
  uint32_t* first = map();
  uint32_t* second = map();
  Waiters waiters(first, 1);
  EXPECT_EQ(futex(second, FUTEX_WAKE, 1), 1);
  waiters.join();
}

TEST(Futex, PrivateMemoryIsNotSharedAcrossFork) {
  pid_t pid = fork_child([&] {
    timespec limit = ms_to_timespec(50);
    EXPECT_ERR(futex(&g_word, FUTEX_WAIT, 0, &limit), ETIMEDOUT);
  });
  wait_until_blocked(pid);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 1), 0);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Futex, BitsetsMustMeet) {
  static int woken;
  Thread waiter([] {
    EXPECT_OK(futex(&g_word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0x6));
    woken = 1;
  });
  wait_until_blocked(waiter.tid());
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0x1), 0);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0x4), 1);
  waiter.join();
  EXPECT_EQ(woken, 1);
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET, 0, nullptr, nullptr, 0), EINVAL);
  EXPECT_ERR(futex(&g_word, FUTEX_WAKE_BITSET, 1, nullptr, nullptr, 0), EINVAL);
}

TEST(Futex, BitsetTimeoutIsAbsolute) {
  timespec limit;
  clock_gettime(CLOCK_MONOTONIC, &limit);
  limit.tv_nsec += 20000000;
  if (limit.tv_nsec >= 1000000000) limit = {limit.tv_sec + 1, limit.tv_nsec - 1000000000};
  int64_t start = now_ms();
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET, 0, &limit, nullptr, -1u), ETIMEDOUT);
  EXPECT_GE(now_ms() - start, 18);
  limit = {1, 0};  // Long past on either clock.
  EXPECT_ERR(futex(&g_word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &limit, nullptr, -1u),
             ETIMEDOUT);
}

TEST(Futex, RequeueMovesWaiters) {
  Waiters waiters(&g_word, 3);
  EXPECT_EQ(futex(&g_word, FUTEX_REQUEUE, 1, count(1), &g_other), 2);
  waiters.expect_woken(1);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 1);
  EXPECT_EQ(futex(&g_other, FUTEX_WAKE, 10), 1);
  waiters.join();
}

TEST(Futex, CmpRequeueLooksFirst) {
  Waiters waiters(&g_word, 2);
  EXPECT_ERR(futex(&g_word, FUTEX_CMP_REQUEUE, 1, count(10), &g_other, 7), EAGAIN);
  EXPECT_EQ(futex(&g_word, FUTEX_CMP_REQUEUE, 0, count(10), &g_other, 0), 2);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE, 10), 0);
  EXPECT_EQ(futex(&g_other, FUTEX_WAKE, 10), 2);
  waiters.join();
  EXPECT_ERR(futex(&g_word, FUTEX_CMP_REQUEUE, -1u, count(1), &g_other, 0), EINVAL);
}

TEST(Futex, WakeOpChangesAndWakesBoth) {
  Waiters first(&g_word, 1), second(&g_other, 1);
  // other |= 4; wake those on other if it was 0.
  uint32_t op = FUTEX_OP(FUTEX_OP_OR, 4, FUTEX_OP_CMP_EQ, 0);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_OP, 1, count(1), &g_other, op), 2);
  EXPECT_EQ(g_other, 4u);
  first.join();
  second.join();
}

TEST(Futex, WakeOpComparisonMayFail) {
  g_other = 0;
  Waiters second(&g_other, 1);
  uint32_t op = FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 0);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_OP, 1, count(1), &g_other, op), 0);
  EXPECT_EQ(g_other, 3u);
  op = FUTEX_OP(FUTEX_OP_SET, 9, FUTEX_OP_CMP_LE, 3);
  EXPECT_EQ(futex(&g_word, FUTEX_WAKE_OP, 1, count(1), &g_other, op), 1);
  EXPECT_EQ(g_other, 9u);
  second.join();
}

TEST(Futex, WakeOpOperations) {
  struct {
    int op;
    uint32_t argument, before, after;
  } cases[] = {{FUTEX_OP_SET, 7, 1, 7}, {FUTEX_OP_ADD, 7, 1, 8},
               {FUTEX_OP_OR, 6, 1, 7},  {FUTEX_OP_ANDN, 1, 7, 6},
               {FUTEX_OP_XOR, 3, 5, 6}, {FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT, 4, 1, 17}};
  for (auto [op, argument, before, after] : cases) {
    g_other = before;
    uint32_t code = FUTEX_OP(uint32_t(op), argument, FUTEX_OP_CMP_EQ, 0u);
    EXPECT_EQ(futex(&g_word, FUTEX_WAKE_OP, 0, count(0), &g_other, code), 0);
    EXPECT_EQ(g_other, after);
  }
}

struct Waitv {
  uint64_t value;
  uint64_t address;
  uint32_t flags;
  uint32_t reserved;
};

long waitv(Waitv* waiters, unsigned n, const timespec* limit) {
  return syscall(449, waiters, n, 0, limit, CLOCK_MONOTONIC);
}

TEST(FutexWaitv, ReturnsTheIndexWoken) {
  static Waitv waiters[2] = {{0, reinterpret_cast<uintptr_t>(&g_word), 2, 0},
                             {0, reinterpret_cast<uintptr_t>(&g_other), 2, 0}};
  Thread thread([] { EXPECT_EQ(waitv(waiters, 2, nullptr), 1); });
  wait_until_blocked(thread.tid());
  EXPECT_EQ(futex(&g_other, FUTEX_WAKE, 1), 1);
}

TEST(FutexWaitv, ErrorsAndTimeout) {
  Waitv waiters[1] = {{1, reinterpret_cast<uintptr_t>(&g_word), 2, 0}};
  EXPECT_ERR(waitv(waiters, 1, nullptr), EAGAIN);
  EXPECT_ERR(waitv(waiters, 0, nullptr), EINVAL);
  EXPECT_ERR(waitv(waiters, 129, nullptr), EINVAL);
  waiters[0].value = 0;
  timespec past = {1, 0};
  EXPECT_ERR(waitv(waiters, 1, &past), ETIMEDOUT);
  waiters[0].reserved = 1;
  EXPECT_ERR(waitv(waiters, 1, &past), EINVAL);
}

}  // namespace
