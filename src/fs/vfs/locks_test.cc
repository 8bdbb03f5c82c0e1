#include "fs/vfs/locks.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <map>
#include <random>

#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;

constexpr int64_t kEnd = INT64_MAX;
LockOwner posix(uint64_t id) { return {LockOwner::Kind::kPosix, id, int(id)}; }
LockOwner ofd(uint64_t id) { return {LockOwner::Kind::kOfd, id, -1}; }

class LocksTest : public ::testing::Test {
 protected:
  int set(LockOwner o, int type, int64_t start, int64_t end) {
    return error_of(locks.set({o, type, start, end}));
  }
  std::string text() {
    std::string s;
    for (const auto& l : locks.list()) {
      s += std::to_string(l.lock.owner.id) + (l.lock.type == F_RDLCK ? "r" : "w") +
           std::to_string(l.lock.start) + "-" +
           (l.lock.end == kEnd ? "" : std::to_string(l.lock.end)) + " ";
    }
    return s;
  }
  FileLocks locks;
};

TEST_F(LocksTest, ReadersShareWritersDoNot) {
  EXPECT_EQ(set(posix(1), F_RDLCK, 0, 9), 0);
  EXPECT_EQ(set(posix(2), F_RDLCK, 5, 15), 0);
  EXPECT_EQ(set(posix(2), F_WRLCK, 9, 9), EAGAIN);
  EXPECT_EQ(set(posix(2), F_WRLCK, 10, 12), 0);
  EXPECT_EQ(set(posix(1), F_RDLCK, 12, 12), EAGAIN);
}

TEST_F(LocksTest, SplitsAndMerges) {
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, 99), 0);
  EXPECT_EQ(set(posix(1), F_UNLCK, 40, 59), 0);
  EXPECT_EQ(text(), "1w0-39 1w60-99 ");
  EXPECT_EQ(set(posix(1), F_RDLCK, 30, 69), 0);
  EXPECT_EQ(text(), "1w0-29 1r30-69 1w70-99 ");
  EXPECT_EQ(set(posix(1), F_WRLCK, 30, 69), 0);
  EXPECT_EQ(text(), "1w0-99 ");
  EXPECT_EQ(set(posix(1), F_WRLCK, 100, kEnd), 0);
  EXPECT_EQ(text(), "1w0- ");
  EXPECT_EQ(set(posix(1), F_UNLCK, 0, kEnd), 0);
  EXPECT_EQ(text(), "");
}

TEST_F(LocksTest, TellsWhoIsInTheWay) {
  EXPECT_EQ(set(posix(7), F_WRLCK, 10, 20), 0);
  auto c = locks.conflict({posix(1), F_RDLCK, 0, kEnd});
  ASSERT_TRUE(c);
  EXPECT_EQ(c->owner.pid, 7);
  EXPECT_EQ(c->start, 10);
  EXPECT_FALSE(locks.conflict({posix(7), F_WRLCK, 0, kEnd}));
  EXPECT_FALSE(locks.conflict({posix(1), F_RDLCK, 21, kEnd}));
}

TEST_F(LocksTest, OfdAndPosixConflict) {
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, 9), 0);
  EXPECT_EQ(set(ofd(1), F_WRLCK, 0, 9), EAGAIN);
  EXPECT_EQ(set(ofd(1), F_WRLCK, 10, 19), 0);
  EXPECT_EQ(locks.conflict({posix(1), F_WRLCK, 10, 10})->owner.pid, -1);
}

TEST_F(LocksTest, DropOnClose) {
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, 9), 0);
  EXPECT_EQ(set(ofd(5), F_WRLCK, 20, 29), 0);
  EXPECT_OK(locks.flock(5, LOCK_EX));
  locks.drop_owner(posix(1));
  EXPECT_EQ(text(), "5w20-29 5w0- ");
  locks.drop_file(5);
  EXPECT_EQ(text(), "");
}

TEST_F(LocksTest, Deadlock) {
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, 0), 0);
  EXPECT_EQ(set(posix(2), F_WRLCK, 1, 1), 0);
  EXPECT_EQ(set(posix(3), F_WRLCK, 2, 2), 0);
  EXPECT_OK(locks.begin_wait({posix(1), F_WRLCK, 1, 1}));
  EXPECT_OK(locks.begin_wait({posix(2), F_WRLCK, 2, 2}));
  EXPECT_ERROR(locks.begin_wait({posix(3), F_WRLCK, 0, 0}), EDEADLK);
  FileLocks::end_wait(posix(1));
  EXPECT_OK(locks.begin_wait({posix(3), F_WRLCK, 0, 0}));
  for (int i = 1; i <= 3; i++) FileLocks::end_wait(posix(uint64_t(i)));
}

TEST_F(LocksTest, WakesWaiters) {
  auto waiter = make_ref<CountingWaiter>();
  locks.queue().add(waiter, POLLIN);
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, 9), 0);
  waiter->take(POLLIN);
  EXPECT_EQ(set(posix(1), F_UNLCK, 0, 9), 0);
  EXPECT_TRUE(waiter->take(POLLIN));
  EXPECT_OK(locks.flock(1, LOCK_EX));
  EXPECT_OK(locks.flock(1, LOCK_UN));
  EXPECT_TRUE(waiter->take(POLLIN));
}

TEST_F(LocksTest, Flock) {
  EXPECT_OK(locks.flock(1, LOCK_SH));
  EXPECT_OK(locks.flock(2, LOCK_SH));
  EXPECT_ERROR(locks.flock(3, LOCK_EX), EAGAIN);
  EXPECT_OK(locks.flock(1, LOCK_SH));
  EXPECT_ERROR(locks.flock(1, LOCK_EX), EAGAIN);  // And the shared one is lost, as on Linux.
  EXPECT_OK(locks.flock(2, LOCK_EX));
  EXPECT_ERROR(locks.flock(1, LOCK_SH), EAGAIN);
  EXPECT_OK(locks.flock(2, LOCK_UN));
  EXPECT_OK(locks.flock(2, LOCK_UN));
  EXPECT_OK(locks.flock(1, LOCK_EX));
}

TEST_F(LocksTest, NumberIsBounded) {
  constexpr int64_t kMost = 65536;
  for (int64_t i = 0; i < kMost; i++) {
    ASSERT_EQ(set(posix(1), F_WRLCK, i * 2, i * 2), 0);
  }
  EXPECT_EQ(set(posix(1), F_WRLCK, kMost * 2, kMost * 2), ENOLCK);
  EXPECT_EQ(set(posix(1), F_RDLCK, 1 << 10, 1 << 10), 0);  // No more than before.
  EXPECT_EQ(set(posix(2), F_RDLCK, 1, 1), ENOLCK);
  EXPECT_EQ(set(posix(1), F_WRLCK, 0, kEnd), 0);
  EXPECT_EQ(text(), "1w0- ");
  EXPECT_EQ(set(posix(1), F_UNLCK, 0, kEnd), 0);
  EXPECT_TRUE(locks.empty());
}

// A second model: a list of bytes, each with who holds it how.
struct Bytes {
  static constexpr int kOwners = 4, kSize = 40;
  int held[kOwners][kSize] = {};  // 0, 'r', 'w'

  bool set(int owner, int type, int start, int end) {
    for (int i = start; i <= end; i++) {
      for (int other = 0; other < kOwners; other++) {
        if (other == owner || !held[other][i] || type == F_UNLCK) continue;
        if (held[other][i] == 'w' || type == F_WRLCK) return false;
      }
    }
    const int value = type == F_UNLCK ? 0 : type == F_RDLCK ? 'r' : 'w';
    for (int i = start; i <= end; i++) held[owner][i] = value;
    return true;
  }
  // As LocksTest::text() would show them.
  std::string text() const {
    std::map<std::pair<int, int>, std::string> all;
    for (int owner = 0; owner < kOwners; owner++) {
      for (int i = 0; i < kSize;) {
        int end = i;
        while (end + 1 < kSize && held[owner][end + 1] == held[owner][i]) end++;
        if (held[owner][i]) {
          all[{i, owner}] = std::to_string(owner) + char(held[owner][i]) + std::to_string(i) + "-" +
                            std::to_string(end) + " ";
        }
        i = end + 1;
      }
    }
    std::string out;
    for (const auto& [at, one] : all) out += one;
    return out;
  }
};

TEST_F(LocksTest, AsBytesWouldBe) {
  std::mt19937 random(1);
  const auto below = [&random](int n) { return int(random() % unsigned(n)); };
  Bytes bytes;
  for (int i = 0; i < 20'000; i++) {
    const int owner = below(Bytes::kOwners), start = below(Bytes::kSize);
    const int end = std::min(start + below(8), Bytes::kSize - 1);
    const int types[] = {F_RDLCK, F_WRLCK, F_UNLCK};
    const int type = types[below(3)];
    if (below(50) == 0) {
      locks.drop_owner(posix(uint64_t(owner)));
      bytes.set(owner, F_UNLCK, 0, Bytes::kSize - 1);
    } else {
      const bool may = bytes.set(owner, type, start, end);
      ASSERT_EQ(set(posix(uint64_t(owner)), type, start, end), may ? 0 : EAGAIN) << i;
    }
    ASSERT_EQ(text(), bytes.text()) << i;
  }
}

// So many readers of the whole file, and records of each: in no time that grows with their square.
TEST_F(LocksTest, ManyOwners) {
  constexpr uint64_t kOwners = 30'000;
  for (uint64_t i = 0; i < kOwners; i++) ASSERT_EQ(set(ofd(i), F_RDLCK, 0, kEnd), 0);
  EXPECT_EQ(set(ofd(kOwners), F_WRLCK, 5, 5), EAGAIN);
  for (uint64_t i = 0; i < kOwners; i++) ASSERT_OK(locks.flock(i, LOCK_SH));
  EXPECT_ERROR(locks.flock(kOwners, LOCK_EX), EAGAIN);
  for (uint64_t i = 0; i < kOwners; i++) locks.drop_file(i);
  EXPECT_TRUE(locks.empty());
}

}  // namespace
}  // namespace usk
