#include "base/lock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>
#include <vector>

#include "base/ref.h"

namespace usk {
namespace {

struct Counted {
  Mutex<Rank::kLeaf> mu;
  int n GUARDED_BY(mu) = 0;
};

TEST(Lock, KeepsThreadsApart) {
  Counted c;
  {
    Lock lock(c.mu);
    c.n++;
  }
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&c] {
      for (int k = 0; k < 20000; k++) {
        Lock lock(c.mu);
        c.n++;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  Lock lock(c.mu);
  EXPECT_EQ(c.n, 80001);
}

// Taken while there is one thread, wanted and given back when there are two.
TEST(Lock, SurvivesTheFirstThread) {
  Counted c;
  std::thread other;
  {
    Lock lock(c.mu);
    other = std::thread([&c] {
      Lock mine(c.mu);
      c.n = c.n * 10 + 2;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    c.n = 1;
  }
  other.join();
  Lock lock(c.mu);
  EXPECT_EQ(c.n, 12);
}

TEST(Ref, CountsAcrossThreads) {
  struct Thing final : RefCounted {};
  auto thing = make_ref<Thing>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([thing] {
      for (int k = 0; k < 20000; k++) Ref<Thing> again = thing;
    });
  }
  for (std::thread& t : threads) t.join();
  threads.clear();
  EXPECT_EQ(thing->ref_count(), 1);
}

}  // namespace
}  // namespace usk
