// inotify(7).
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Watcher {
  Watcher() : fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) { ASSERT_GE(fd.get(), 0); }
  int watch(const char* path, uint32_t mask) { return inotify_add_watch(fd.get(), path, mask); }

  // What happened since, as words like "create:f modify:f".
  std::string events() {
    static const std::pair<uint32_t, const char*> kNames[] = {
        {IN_ACCESS, "access"},           {IN_MODIFY, "modify"},
        {IN_ATTRIB, "attrib"},           {IN_CLOSE_WRITE, "close-write"},
        {IN_CLOSE_NOWRITE, "close"},     {IN_OPEN, "open"},
        {IN_MOVED_FROM, "from"},         {IN_MOVED_TO, "to"},
        {IN_CREATE, "create"},           {IN_DELETE, "delete"},
        {IN_DELETE_SELF, "delete-self"}, {IN_MOVE_SELF, "move-self"},
        {IN_IGNORED, "ignored"},         {IN_UNMOUNT, "unmount"}};
    std::string out;
    alignas(inotify_event) char buffer[8192];
    for (ssize_t n; (n = read(fd.get(), buffer, sizeof buffer)) > 0;) {
      for (char* at = buffer; at < buffer + n;) {
        auto* event = reinterpret_cast<inotify_event*>(at);
        for (auto [bit, name] : kNames) {
          if (event->mask & bit) out += (out.empty() ? "" : " ") + std::string(name);
        }
        if (event->mask & IN_ISDIR) out += "/";
        if (event->len > 0) out += std::string(":") + event->name;
        last_cookie = event->cookie ? event->cookie : last_cookie;
        at += sizeof *event + event->len;
      }
    }
    return out;
  }

  UniqueFd fd;
  uint32_t last_cookie = 0;
};

TEST(Inotify, LifeOfAFile) {
  Watcher watcher;
  EXPECT_GE(watcher.watch(".", IN_ALL_EVENTS), 1);
  write_file("f", "x");
  EXPECT_EQ(watcher.events(), "create:f open:f modify:f close-write:f");
  read_file("f");
  EXPECT_EQ(watcher.events(), "open:f access:f close:f");
  MUST(chmod("f", 0600));
  EXPECT_EQ(watcher.events(), "attrib:f");
  MUST(unlink("f"));
  EXPECT_EQ(watcher.events(), "delete:f");
}

TEST(Inotify, Directories) {
  Watcher watcher;
  watcher.watch(".", IN_CREATE | IN_DELETE);
  MUST(mkdir("d", 0755));
  MUST(rmdir("d"));
  EXPECT_EQ(watcher.events(), "create/:d delete/:d");
}

TEST(Inotify, RenamesShareACookie) {
  Watcher watcher;
  write_file("a", "");
  watcher.watch(".", IN_MOVE);
  MUST(rename("a", "b"));
  EXPECT_EQ(watcher.events(), "from:a to:b");
  EXPECT_NE(watcher.last_cookie, 0u);
}

TEST(Inotify, WatchOnAFile) {
  Watcher watcher;
  write_file("f", "x");
  watcher.watch("f", IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF | IN_MODIFY);
  MUST(rename("f", "g"));
  EXPECT_EQ(watcher.events(), "move-self");
  MUST(truncate("g", 0));
  EXPECT_EQ(watcher.events(), "modify");
  MUST(unlink("g"));
  EXPECT_EQ(watcher.events(), "attrib delete-self ignored");
}

TEST(Inotify, RemoveWatch) {
  Watcher watcher;
  int wd = MUST(watcher.watch(".", IN_CREATE));
  EXPECT_OK(inotify_rm_watch(watcher.fd.get(), wd));
  EXPECT_EQ(watcher.events(), "ignored");
  EXPECT_ERR(inotify_rm_watch(watcher.fd.get(), wd), EINVAL);
  write_file("f", "");
  EXPECT_EQ(watcher.events(), "");
}

TEST(Inotify, SameObjectSameWatch) {
  Watcher watcher;
  write_file("f", "");
  MUST(link("f", "g"));
  int wd = MUST(watcher.watch("f", IN_MODIFY));
  EXPECT_EQ(watcher.watch("g", IN_ATTRIB | IN_MASK_ADD), wd);
  MUST(chmod("f", 0600));
  MUST(truncate("g", 0));
  EXPECT_EQ(watcher.events(), "attrib modify");
  EXPECT_ERR(watcher.watch("g", IN_ATTRIB | IN_MASK_CREATE), EEXIST);
}

TEST(Inotify, OneshotAndOnlydir) {
  Watcher watcher;
  write_file("f", "");
  EXPECT_ERR(watcher.watch("f", IN_MODIFY | IN_ONLYDIR), ENOTDIR);
  watcher.watch("f", IN_MODIFY | IN_ONESHOT);
  MUST(truncate("f", 1));
  MUST(truncate("f", 2));
  EXPECT_EQ(watcher.events(), "modify ignored");
}

TEST(Inotify, EqualEventsMerge) {
  Watcher watcher;
  write_file("f", "");
  UniqueFd fd(MUST(open("f", O_WRONLY)));
  watcher.watch("f", IN_MODIFY);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(write(fd.get(), "x", 1), 1);
  EXPECT_EQ(watcher.events(), "modify");
}

TEST(Inotify, PollAndShortRead) {
  Watcher watcher;
  watcher.watch(".", IN_CREATE);
  pollfd entry = {watcher.fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 0);
  write_file("f", "");
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  char small[8];
  EXPECT_ERR(read(watcher.fd.get(), small, sizeof small), EINVAL);
}

TEST(Inotify, Errors) {
  Watcher watcher;
  EXPECT_ERR(watcher.watch("missing", IN_CREATE), ENOENT);
  EXPECT_ERR(watcher.watch(".", 0), EINVAL);
  EXPECT_ERR(inotify_add_watch(999, ".", IN_CREATE), EBADF);
  EXPECT_ERR(inotify_add_watch(0, ".", IN_CREATE), EINVAL);
  EXPECT_ERR(inotify_init1(1), EINVAL);
}

TEST(Inotify, BlockedReaderIsWoken) {
  UniqueFd fd(MUST(inotify_init()));
  MUST(inotify_add_watch(fd.get(), ".", IN_CREATE));
  Thread reader([&] {
    char buffer[512];
    EXPECT_GT(read(fd.get(), buffer, sizeof buffer), 0);
  });
  wait_until_blocked(reader.tid());
  write_file("f", "");
}

}  // namespace
