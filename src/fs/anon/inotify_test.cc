#include "fs/anon/inotify.h"

#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "base/budget.h"
#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/notify.h"

namespace usk {
namespace {

using namespace testing;

class InotifyTest : public ::testing::Test {
 protected:
  Path place(uint32_t mode = S_IFREG | 0600) {
    return internal_path(make_ref<InternalInode>(fs_, mode, *test_creds()), "x");
  }
  struct Event {
    int wd;
    uint32_t mask, cookie;
    std::string name;
    friend bool operator==(const Event&, const Event&) = default;
  };
  std::vector<Event> events() {
    std::vector<Event> all;
    auto bytes = read_from(*file_);
    if (!bytes) return all;
    for (size_t at = 0; at < bytes->size();) {
      inotify_event e;
      memcpy(&e, bytes->data() + at, sizeof e);
      all.push_back({e.wd, e.mask, e.cookie, bytes->substr(at + sizeof e, e.len).c_str()});
      at += sizeof e + e.len;
    }
    return all;
  }

  Ref<InternalFs> fs_ = make_ref<InternalFs>("test", 0);
  Ref<InotifyFile> file_ = make_ref<InotifyFile>(0, test_creds());
};

TEST_F(InotifyTest, EventsOfAWatch) {
  const Path p = place();
  EXPECT_EQ(file_->add_watch(p, IN_MODIFY | IN_ATTRIB), 1);
  EXPECT_TRUE(failed_with(read_from(*file_), EAGAIN));
  notify_inode(p.inode(), IN_MODIFY);
  notify_inode(p.inode(), IN_OPEN);
  EXPECT_EQ(file_->poll(), PollMask(POLLIN | POLLRDNORM));
  EXPECT_EQ(events(), (std::vector<Event>{{1, IN_MODIFY, 0, ""}}));
}

TEST_F(InotifyTest, NamesOfChildren) {
  const Path dir = place(S_IFDIR | 0700);
  file_->add_watch(dir, IN_ALL_EVENTS);
  notify_dir(dir.inode(), IN_CREATE, "file");
  notify_dir(dir.inode(), IN_MOVED_FROM, "sixteen-bytes-ab", 7);
  FakeCaller caller;
  int n = 0;
  EXPECT_TRUE(caller.ioctl(*file_, FIONREAD, n));
  EXPECT_EQ(n, 16 + 16 + 16 + 32);
  EXPECT_EQ(events(), (std::vector<Event>{{1, IN_CREATE, 0, "file"},
                                          {1, IN_MOVED_FROM, 7, "sixteen-bytes-ab"}}));
}

TEST_F(InotifyTest, AlikeEventsMerge) {
  const Path p = place();
  file_->add_watch(p, IN_MODIFY | IN_ACCESS);
  notify_inode(p.inode(), IN_MODIFY);
  notify_inode(p.inode(), IN_MODIFY);
  notify_inode(p.inode(), IN_ACCESS);
  notify_inode(p.inode(), IN_MODIFY);
  EXPECT_EQ(events().size(), 3u);
}

TEST_F(InotifyTest, MasksOfOneWatch) {
  const Path p = place();
  EXPECT_EQ(file_->add_watch(p, IN_MODIFY), 1);
  EXPECT_EQ(file_->add_watch(p, IN_ACCESS | IN_MASK_ADD), 1);
  notify_inode(p.inode(), IN_MODIFY);
  EXPECT_EQ(events().size(), 1u);
  EXPECT_EQ(file_->add_watch(p, IN_ACCESS), 1);
  notify_inode(p.inode(), IN_MODIFY);
  EXPECT_EQ(events().size(), 0u);
  EXPECT_TRUE(failed_with(file_->add_watch(p, IN_ACCESS | IN_MASK_CREATE), EEXIST));
  EXPECT_TRUE(failed_with(file_->add_watch(p, IN_MASK_ADD | IN_MASK_CREATE | IN_OPEN), EINVAL));
  EXPECT_TRUE(failed_with(file_->add_watch(p, 0), EINVAL));
  EXPECT_TRUE(failed_with(file_->add_watch(p, 1u << 20), EINVAL));
}

TEST_F(InotifyTest, RemovalIsReported) {
  const Path p = place();
  file_->add_watch(p, IN_MODIFY);
  EXPECT_TRUE(file_->remove_watch(1));
  EXPECT_TRUE(failed_with(file_->remove_watch(1), EINVAL));
  notify_inode(p.inode(), IN_MODIFY);
  EXPECT_EQ(events(), (std::vector<Event>{{1, IN_IGNORED, 0, ""}}));
  EXPECT_EQ(file_->add_watch(p, IN_MODIFY), 2);  // Numbers are not used again.
}

TEST_F(InotifyTest, OneShot) {
  const Path p = place();
  file_->add_watch(p, IN_MODIFY | IN_ONESHOT);
  notify_inode(p.inode(), IN_MODIFY);
  notify_inode(p.inode(), IN_MODIFY);
  EXPECT_EQ(events(), (std::vector<Event>{{1, IN_MODIFY, 0, ""}, {1, IN_IGNORED, 0, ""}}));
}

TEST_F(InotifyTest, DeletionEndsAWatch) {
  const Path p = place();
  file_->add_watch(p, IN_DELETE_SELF);
  notify_inode(p.inode(), IN_DELETE_SELF);
  EXPECT_EQ(events(), (std::vector<Event>{{1, IN_DELETE_SELF, 0, ""}, {1, IN_IGNORED, 0, ""}}));
  EXPECT_TRUE(failed_with(file_->remove_watch(1), EINVAL));
}

TEST_F(InotifyTest, OverflowIsReportedOnce) {
  const size_t before = kernel_memory().used();
  const Path p = place(S_IFDIR | 0700);
  file_->add_watch(p, IN_CREATE);
  for (int i = 0; i < 17'000; ++i) notify_dir(p.inode(), IN_CREATE, std::to_string(i));
  size_t overflows = 0, total = 0;
  for (auto got = events(); !got.empty(); got = events()) {
    total += got.size();
    for (auto& e : got) overflows += e.wd == -1 && e.mask == IN_Q_OVERFLOW;
  }
  EXPECT_EQ(total, InotifyFile::kMaxEvents + 1);
  EXPECT_EQ(overflows, 1u);
  file_.reset();
  EXPECT_EQ(kernel_memory().used(), before);
}

TEST_F(InotifyTest, SmallBuffers) {
  const Path p = place(S_IFDIR | 0700);
  file_->add_watch(p, IN_CREATE);
  notify_dir(p.inode(), IN_CREATE, "name");
  EXPECT_TRUE(failed_with(read_from(*file_, 31), EINVAL));
  EXPECT_EQ(read_from(*file_, 32)->size(), 32u);
}

TEST_F(InotifyTest, CloseTakesItsMarksOff) {
  const Path p = place();
  file_->add_watch(p, IN_MODIFY);
  EXPECT_TRUE(file_->fdinfo().starts_with("inotify wd:1 ino:"));
  notify_inode(p.inode(), IN_MODIFY);
  file_.reset();
  EXPECT_FALSE(anyone_watches());
}

}  // namespace
}  // namespace usk
