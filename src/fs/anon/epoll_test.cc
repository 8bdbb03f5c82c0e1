#include "fs/anon/epoll.h"

#include <gtest/gtest.h>

#include <thread>

#include "base/fake_timers.h"
#include "fs/anon/eventfd.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/inode.h"

namespace usk {
namespace {

using namespace testing;

class EpollTest : public ::testing::Test {
 protected:
  static Ref<EpollFile> make_set() { return make_ref<EpollFile>(test_creds()); }
  static Ref<File> make_event(uint64_t count = 0) {
    return make_ref<EventFd>(count, false, 0, test_creds());
  }
  static Result<void> add(EpollFile& set, const Ref<File>& file, uint32_t events, int fd = 3) {
    return set.control(EPOLL_CTL_ADD, file, fd, {events, {.u64 = uint64_t(fd)}});
  }
  static Result<void> mod(EpollFile& set, const Ref<File>& file, uint32_t events, int fd = 3) {
    return set.control(EPOLL_CTL_MOD, file, fd, {events, {.u64 = uint64_t(fd)}});
  }
  static Result<void> del(EpollFile& set, const Ref<File>& file, int fd = 3) {
    return set.control(EPOLL_CTL_DEL, file, fd, {});
  }
  // (data, events) of each event.
  using Events = std::vector<std::pair<uint64_t, uint32_t>>;
  static Events wait(EpollFile& set, size_t max = 16) {
    std::vector<epoll_event> events(max);
    KernelOut out(std::as_writable_bytes(std::span(events)));
    Events got;
    const size_t n = *set.wait(out, max);
    for (size_t i = 0; i < n; ++i) {
      got.push_back({uint64_t(events[i].data.u64), uint32_t(events[i].events)});
    }
    return got;
  }
  static void signal(const Ref<File>& file, uint64_t n = 1) { write_object(*file, n); }

  FakeTimers timers_;
  Ref<EpollFile> set_ = make_set();
  Ref<File> event_ = make_event();
};

TEST_F(EpollTest, LevelTriggeredReportsAsLongAsReady) {
  ASSERT_TRUE(add(*set_, event_, EPOLLIN));
  EXPECT_EQ(wait(*set_), Events{});
  signal(event_);
  EXPECT_EQ(wait(*set_), (Events{{3, EPOLLIN}}));
  EXPECT_EQ(wait(*set_), (Events{{3, EPOLLIN}}));
  read_object<uint64_t>(*event_);
  EXPECT_EQ(wait(*set_), Events{});
}

TEST_F(EpollTest, ReadyFromTheStart) {
  signal(event_);
  add(*set_, event_, EPOLLIN | EPOLLOUT);
  EXPECT_EQ(wait(*set_), (Events{{3, EPOLLIN | EPOLLOUT}}));
}

TEST_F(EpollTest, EdgeTriggeredReportsEachEdgeOnce) {
  add(*set_, event_, EPOLLIN | EPOLLET);
  signal(event_);
  EXPECT_EQ(wait(*set_).size(), 1u);
  EXPECT_EQ(wait(*set_).size(), 0u);
  signal(event_);  // Readable before, but a new edge.
  EXPECT_EQ(wait(*set_).size(), 1u);
  EXPECT_EQ(wait(*set_).size(), 0u);
}

TEST_F(EpollTest, OneShotIsArmedAgainByMod) {
  add(*set_, event_, EPOLLIN | EPOLLONESHOT);
  signal(event_);
  EXPECT_EQ(wait(*set_).size(), 1u);
  signal(event_);
  EXPECT_EQ(wait(*set_).size(), 0u);
  EXPECT_TRUE(mod(*set_, event_, EPOLLIN | EPOLLONESHOT));
  EXPECT_EQ(wait(*set_).size(), 1u);
  EXPECT_EQ(wait(*set_).size(), 0u);
}

TEST_F(EpollTest, ModLooksAgain) {
  add(*set_, event_, EPOLLIN);
  EXPECT_EQ(wait(*set_).size(), 0u);
  mod(*set_, event_, EPOLLOUT);
  EXPECT_EQ(wait(*set_), (Events{{3, EPOLLOUT}}));
}

TEST_F(EpollTest, ControlErrors) {
  EXPECT_TRUE(failed_with(del(*set_, event_), ENOENT));
  EXPECT_TRUE(failed_with(mod(*set_, event_, EPOLLIN), ENOENT));
  EXPECT_TRUE(add(*set_, event_, EPOLLIN));
  EXPECT_TRUE(failed_with(add(*set_, event_, EPOLLIN), EEXIST));
  EXPECT_TRUE(add(*set_, event_, EPOLLIN, 4));  // Another descriptor of the same description.
  EXPECT_TRUE(failed_with(set_->control(99, event_, 3, {}), EINVAL));
  EXPECT_TRUE(failed_with(add(*set_, set_, EPOLLIN), EINVAL));
  EXPECT_TRUE(del(*set_, event_));
  EXPECT_TRUE(failed_with(del(*set_, event_), ENOENT));
  EXPECT_EQ(set_->item_count(), 1u);
}

TEST_F(EpollTest, OnlyPollableFiles) {
  class Plain : public File {
   public:
    Plain() : File(Path(), O_RDWR, 0, test_creds()) {}
  };
  EXPECT_TRUE(failed_with(add(*set_, make_ref<Plain>(), EPOLLIN), EPERM));
}

TEST_F(EpollTest, ExclusiveRules) {
  EXPECT_TRUE(failed_with(add(*set_, event_, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT), EINVAL));
  EXPECT_TRUE(failed_with(add(*set_, make_set(), EPOLLIN | EPOLLEXCLUSIVE), EINVAL));
  EXPECT_TRUE(add(*set_, event_, EPOLLIN | EPOLLEXCLUSIVE));
  EXPECT_TRUE(failed_with(mod(*set_, event_, EPOLLIN), EINVAL));
  EXPECT_TRUE(failed_with(mod(*set_, event_, EPOLLIN | EPOLLEXCLUSIVE), EINVAL));
}

TEST_F(EpollTest, ExclusiveWakesOneSetWithASleeper) {
  auto second = make_set(), third = make_set();
  add(*set_, event_, EPOLLIN | EPOLLEXCLUSIVE);  // Nobody sleeps on it.
  add(*second, event_, EPOLLIN | EPOLLEXCLUSIVE);
  add(*third, event_, EPOLLIN | EPOLLEXCLUSIVE);
  auto sleeper2 = make_ref<CountingWaiter>(), sleeper3 = make_ref<CountingWaiter>();
  second->sleepers().add(sleeper2, POLLIN);
  third->sleepers().add(sleeper3, POLLIN);
  signal(event_);
  EXPECT_EQ(sleeper2->count, 1);
  EXPECT_EQ(sleeper3->count, 0);
}

TEST_F(EpollTest, ItemGoesWithTheDescription) {
  add(*set_, event_, EPOLLIN);
  signal(event_);
  Ref<File> dup = event_;
  event_.reset();
  EXPECT_EQ(wait(*set_).size(), 1u);  // The description is still open.
  dup.reset();
  EXPECT_EQ(wait(*set_).size(), 0u);
  EXPECT_EQ(set_->item_count(), 0u);
}

TEST_F(EpollTest, MemoryIsGivenBack) {
  const size_t before = kernel_memory().used();
  add(*set_, event_, EPOLLIN);
  EXPECT_GT(kernel_memory().used(), before);
  event_.reset();
  set_->item_count();
  EXPECT_EQ(kernel_memory().used(), before);
}

TEST_F(EpollTest, SetGoesBeforeFile) {
  add(*set_, event_, EPOLLIN);
  set_.reset();
  signal(event_);
  EXPECT_TRUE(event_->queue().empty());
  EXPECT_TRUE(event_->release_queue().empty());
}

TEST_F(EpollTest, TurnsAreFair) {
  std::vector<Ref<File>> files;
  for (int i = 0; i < 4; ++i) {
    files.push_back(make_event(1));
    add(*set_, files.back(), EPOLLIN, i);
  }
  EXPECT_EQ(wait(*set_, 2), (Events{{0, EPOLLIN}, {1, EPOLLIN}}));
  EXPECT_EQ(wait(*set_, 2), (Events{{2, EPOLLIN}, {3, EPOLLIN}}));
  EXPECT_EQ(wait(*set_, 2), (Events{{0, EPOLLIN}, {1, EPOLLIN}}));
  EXPECT_EQ(wait(*set_, 16).size(), 4u);
}

TEST_F(EpollTest, WakesSleepersAndPollers) {
  auto sleeper = make_ref<CountingWaiter>(), poller = make_ref<CountingWaiter>();
  set_->sleepers().add(sleeper, POLLIN);
  set_->queue().add(poller, POLLIN);
  add(*set_, event_, EPOLLIN);
  EXPECT_EQ(sleeper->count, 0);
  signal(event_);
  EXPECT_EQ(sleeper->count, 1);
  EXPECT_EQ(poller->count, 1);
  EXPECT_EQ(set_->poll(), PollMask(POLLIN | POLLRDNORM));
  wait(*set_);
  EXPECT_EQ(sleeper->count, 2);  // Still ready: somebody else may go on.
  EXPECT_EQ(poller->count, 1);
  read_object<uint64_t>(*event_);
  EXPECT_EQ(set_->poll(), 0u);
}

TEST_F(EpollTest, FaultLosesNothing) {
  add(*set_, event_, EPOLLIN | EPOLLET);
  signal(event_);
  FaultyOut out(100);
  EXPECT_TRUE(failed_with(set_->wait(out, 4), EFAULT));
  EXPECT_EQ(wait(*set_).size(), 1u);
}

TEST_F(EpollTest, NestedSetsReport) {
  auto outer = make_set();
  add(*set_, event_, EPOLLIN);
  ASSERT_TRUE(add(*outer, set_, EPOLLIN, 9));
  EXPECT_EQ(wait(*outer).size(), 0u);
  signal(event_);
  EXPECT_EQ(wait(*outer), (Events{{9, EPOLLIN}}));
  read_object<uint64_t>(*event_);
  EXPECT_EQ(wait(*outer).size(), 0u);
}

TEST_F(EpollTest, RingsAndLongChainsAreRefused) {
  auto outer = make_set();
  ASSERT_TRUE(add(*outer, set_, EPOLLIN));
  EXPECT_TRUE(failed_with(add(*set_, outer, EPOLLIN), ELOOP));
  std::vector<Ref<EpollFile>> chain{make_set()};
  int links = 0;
  for (;; ++links) {
    auto next = make_set();
    auto added = add(*next, chain.back(), EPOLLIN);
    if (!added) {
      EXPECT_TRUE(failed_with(added, ELOOP));
      break;
    }
    chain.push_back(next);
  }
  EXPECT_EQ(links, 4);
  // The link below counts as well.
  EXPECT_TRUE(failed_with(add(*chain[0], make_set(), EPOLLIN), ELOOP));
  EXPECT_TRUE(del(*chain[4], chain[3]));
  EXPECT_TRUE(add(*chain[0], make_set(), EPOLLIN));
}

TEST_F(EpollTest, WaysUpAreBounded) {
  std::vector<Ref<EpollFile>> layer{set_}, all;
  Result<void> added;
  for (int level = 0; level < 4 && added; ++level) {
    std::vector<Ref<EpollFile>> next;
    for (int i = 0; i < 10; ++i) next.push_back(make_set());
    int fd = 0;
    for (auto& upper : next) {
      for (auto& lower : layer) {
        if (added) added = add(*upper, lower, EPOLLIN, fd++);
      }
    }
    all.insert(all.end(), next.begin(), next.end());
    layer = next;
  }
  EXPECT_TRUE(failed_with(added, EINVAL));
}

TEST_F(EpollTest, ShowsItselfInFdinfo) {
  add(*set_, event_, EPOLLIN | EPOLLET, 3);
  EXPECT_TRUE(set_->fdinfo().starts_with(
      "tfd:        3 events: 80000019 data:                3  pos:0 ino:"))
      << set_->fdinfo();
}

TEST_F(EpollTest, SurvivesConcurrentUse) {
  auto stop = std::atomic<bool>(false);
  std::thread waiter([&] {
    while (!stop) wait(*set_);
  });
  for (int i = 0; i < 2000; ++i) {
    auto file = make_event();
    add(*set_, file, i % 2 ? EPOLLIN : EPOLLIN | EPOLLET, i);
    signal(file);
    if (i % 3 == 0) del(*set_, file, i);
  }
  stop = true;
  waiter.join();
  EXPECT_EQ(set_->item_count(), 0u);
}

}  // namespace
}  // namespace usk
