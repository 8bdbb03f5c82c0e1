// What Landlock keeps a process from, in child processes.
#include "host/landlock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "host/file.h"
#include "host/trial.h"

namespace usk::host {
namespace {

std::string outcome(long r) { return r >= 0 ? "ok" : strerrorname_np(errno); }
std::string opened(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags, 0600);
  const std::string text = outcome(fd);
  if (fd >= 0) ::close(fd);
  return text;
}

class LandlockTest : public testing::Test {
 protected:
  void SetUp() override {
    if (landlock_version() == 0) GTEST_SKIP() << "the host has no Landlock";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    for (const char* name : {"shared", "read", "other"}) {
      ASSERT_EQ(mkdir((root_ + "/" + name).c_str(), 0700), 0);
      ASSERT_EQ(opened(root_ + "/" + name + "/file", O_CREAT | O_RDWR), "ok");
    }
  }
  void TearDown() override {
    if (landlock_version() == 0) return;
    for (const char* name : {"shared", "read", "other"}) {
      ::unlink((root_ + "/" + name + "/file").c_str());
      ::unlink((root_ + "/" + name + "/new").c_str());
      ::rmdir((root_ + "/" + name).c_str());
    }
    ::rmdir(root_.c_str());
  }

  // What `f` says in a process that may change "shared" and read "read".
  std::string restricted(const std::function<std::string()>& f) {
    return try_in_child([&]() -> std::string {
      auto rules = FileRules::make();
      auto shared = open_place(root_ + "/shared"), read = open_place(root_ + "/read");
      if (!rules || !shared || !read || !rules->allow((*shared)->get(), FileRules::kChange) ||
          !rules->allow((*read)->get(), FileRules::kRead) || !rules->enforce()) {
        return "no rules";
      }
      return f();
    });
  }

  std::string root_ = "/tmp/usk-landlock.XXXXXX";
};

TEST_F(LandlockTest, FilesAreWhatTheRulesSay) {
  const auto all = [&](int flags) {
    std::string text;
    for (const char* name : {"/shared/file", "/read/file", "/other/file"}) {
      text += opened(root_ + name, flags) + " ";
    }
    return text;
  };
  EXPECT_EQ(restricted([&] { return all(O_RDONLY); }), "ok ok EACCES ");
  EXPECT_EQ(restricted([&] { return all(O_RDWR); }), "ok EACCES EACCES ");
  EXPECT_EQ(restricted([&] { return opened(root_ + "/shared/new", O_CREAT | O_RDWR); }), "ok");
  EXPECT_EQ(restricted([&] { return opened(root_ + "/other/new", O_CREAT | O_RDWR); }), "EACCES");
  EXPECT_EQ(restricted([&] { return outcome(::unlink((root_ + "/other/file").c_str())); }),
            "EACCES");
  EXPECT_EQ(restricted([] { return opened("/etc/passwd", O_RDONLY); }), "EACCES");
}

TEST_F(LandlockTest, OtherProcessesAreOutOfReach) {
  const pid_t outside = fork();
  if (outside == 0) {
    pause();
    _exit(0);
  }
  EXPECT_EQ(restricted([&] { return outcome(ptrace(PTRACE_SEIZE, outside, nullptr, nullptr)); }),
            "EPERM");
  if (landlock_version() >= 6) {
    EXPECT_EQ(restricted([&] { return outcome(::kill(outside, SIGKILL)); }), "EPERM");
  }
  EXPECT_EQ(restricted([] {
              const pid_t inside = fork();
              if (inside == 0) {
                pause();
                _exit(0);
              }
              // One after the other: who is killed cannot be traced.
              const std::string traced = outcome(ptrace(PTRACE_SEIZE, inside, nullptr, nullptr));
              const std::string killed = outcome(::kill(inside, SIGKILL));
              ::waitpid(inside, nullptr, 0);
              return traced + " " + killed;
            }),
            "ok ok");
  ::kill(outside, SIGKILL);
  ::waitpid(outside, nullptr, 0);
}

}  // namespace
}  // namespace usk::host
