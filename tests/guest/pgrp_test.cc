// Process groups and sessions: setpgid(2), setsid(2), getpgid(2), getsid(2), killing groups.
#include <fcntl.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

TEST(Pgrp, CaseLeadsItsGroup) {
  EXPECT_EQ(getpgrp(), getpid());
  EXPECT_EQ(getpgid(0), getpid());
  EXPECT_EQ(getpgid(getpid()), getpid());
}

TEST(Pgrp, ChildrenInherit) {
  pid_t group = getpgrp();
  pid_t session = getsid(0);
  EXPECT_EXITED(run_child([&] {
                  EXPECT_EQ(getpgrp(), group);
                  EXPECT_EQ(getsid(0), session);
                }),
                0);
}

TEST(Pgrp, NewGroupAndBack) {
  pid_t group = getpgrp();
  EXPECT_EXITED(run_child([&] {
                  EXPECT_OK(setpgid(0, 0));
                  EXPECT_EQ(getpgrp(), getpid());
                  EXPECT_OK(setpgid(0, group));
                  EXPECT_EQ(getpgrp(), group);
                }),
                0);
}

TEST(Pgrp, Errors) {
  EXPECT_ERR(setpgid(0, -1), EINVAL);
  EXPECT_ERR(setpgid(-1, 0), EINVAL);
  EXPECT_ERR(getpgid(-1), ESRCH);
  EXPECT_ERR(getsid(-1), ESRCH);
  EXPECT_ERR(setpgid(1, 0), ESRCH);  // Neither us nor a child of ours.
  EXPECT_EXITED(run_child([] { EXPECT_ERR(setpgid(0, 1 << 22), EPERM); }), 0);
}

TEST(Pgrp, ChildAfterExecIsEacces) {
  int fds[2];
  MUST(pipe2(fds, O_CLOEXEC));
  pid_t pid = fork_child([&] {
    dup2(fds[0], 0);
    execl("/proc/self/exe", "guest", "-f", "PgrpHelper.ReadByte", nullptr);
  });
  close(fds[0]);
  for (int i = 0; i < 1000; ++i) {
    std::string path = "/proc/" + std::to_string(pid) + "/cmdline";
    if (read_file(path.c_str()).find("PgrpHelper") != std::string::npos) break;
    usleep(1000);
  }
  EXPECT_ERR(setpgid(pid, pid), EACCES);
  close(fds[1]);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(PgrpHelper, ReadByte) {
  char byte;
  EXPECT_GE(read(0, &byte, 1), 0);
}

TEST(Pgrp, ParentMovesAChild) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
    EXPECT_EQ(getpgrp(), getpid());
  });
  EXPECT_OK(setpgid(pid, pid));
  EXPECT_EQ(getpgid(pid), pid);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Pgrp, GroupOfAnotherSessionIsEperm) {
  int fds[2];
  MUST(pipe(fds));
  pid_t other = fork_child([&] {
    setsid();
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    pause();
  });
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);
  EXPECT_ERR(setpgid(other, other), EPERM);
  EXPECT_EXITED(run_child([&] { EXPECT_ERR(setpgid(0, other), EPERM); }), 0);
  MUST(kill(other, SIGKILL));
  EXPECT_KILLED(wait_for(other), SIGKILL);
}

TEST(Session, LeaderOfAGroupCannotSetsid) { EXPECT_ERR(setsid(), EPERM); }

TEST(Session, SetsidMakesBoth) {
  EXPECT_EXITED(run_child([] {
                  pid_t self = getpid();
                  EXPECT_EQ(setsid(), self);
                  EXPECT_EQ(getpgrp(), self);
                  EXPECT_EQ(getsid(0), self);
                  EXPECT_ERR(setsid(), EPERM);
                  EXPECT_ERR(setpgid(0, 0), EPERM);
                }),
                0);
}

TEST(Session, NoControllingTerminal) {
  EXPECT_EXITED(run_child([] {
                  MUST(setsid());
                  EXPECT_ERR(open("/dev/tty", O_RDWR), ENXIO);
                }),
                0);
}

TEST(Pgrp, KillZeroReachesTheGroup) {
  int status = run_child([] {
    setpgid(0, 0);
    pid_t a = fork_child([] { pause(); });
    pid_t b = fork_child([] { pause(); });
    handle_signal(SIGTERM, SIG_IGN);
    EXPECT_OK(kill(0, SIGTERM));
    EXPECT_KILLED(wait_for(a), SIGTERM);
    EXPECT_KILLED(wait_for(b), SIGTERM);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Pgrp, KillNegativeReachesThatGroup) {
  pid_t a = fork_child([] { pause(); });
  setpgid(a, a);
  pid_t b = fork_child([] { pause(); });
  setpgid(b, a);
  pid_t c = fork_child([] { pause(); });
  EXPECT_OK(kill(-a, SIGUSR1));
  EXPECT_KILLED(wait_for(a), SIGUSR1);
  EXPECT_KILLED(wait_for(b), SIGUSR1);
  EXPECT_EQ(waitpid(c, nullptr, WNOHANG), 0);
  MUST(kill(c, SIGKILL));
  EXPECT_KILLED(wait_for(c), SIGKILL);
  EXPECT_ERR(kill(-a, SIGUSR1), ESRCH);
}

TEST(Pgrp, GroupOutlivesItsLeader) {
  pid_t leader = fork_child([] { setpgid(0, 0); });
  setpgid(leader, leader);
  pid_t member = fork_child([] { pause(); });
  EXPECT_OK(setpgid(member, leader));
  EXPECT_EXITED(wait_for(leader), 0);
  EXPECT_EQ(getpgid(member), leader);
  EXPECT_OK(kill(-leader, SIGKILL));
  EXPECT_KILLED(wait_for(member), SIGKILL);
}

TEST(Pgrp, OrphanedStoppedGroupGetsHupAndCont) {
  // middle leads a session; its child in a group of its own stops; when middle dies, the group is
  // orphaned with a stopped member, which gets SIGHUP and SIGCONT.
  int fds[2];
  MUST(pipe(fds));
  pid_t middle = fork_child([&] {
    MUST(setsid());
    pid_t stopped = fork_child([&] {
      setpgid(0, 0);
      static int out;
      out = fds[1];
      handle_signal(SIGHUP, [](int) { [[maybe_unused]] ssize_t n = write(out, "h", 1); });
      handle_signal(SIGCONT, [](int) { [[maybe_unused]] ssize_t n = write(out, "c", 1); });
      raise(SIGSTOP);
      EXPECT_EQ(write(out, "e", 1), 1);
      _exit(0);
    });
    int status;
    EXPECT_EQ(waitpid(stopped, &status, WUNTRACED), stopped);
    EXPECT_TRUE(WIFSTOPPED(status));
  });
  close(fds[1]);
  EXPECT_EXITED(wait_for(middle), 0);
  std::string got;
  for (char byte; read(fds[0], &byte, 1) == 1;) got += byte;
  EXPECT_EQ(got.size(), 3u);
  EXPECT_TRUE(got.find('h') != std::string::npos && got.find('c') != std::string::npos);
  EXPECT_EQ(got.back(), 'e');
}

TEST(Pgrp, ADeathInsideAnOrphanedGroupTellsNobody) {
  // leader's group is orphaned from its beginning; that a member's parent, of the same group, dies
  // changes nothing, whatever else of it is stopped.
  EXPECT_EXITED(run_child([] {
                  MUST(setsid());
                  const pid_t stopped = fork_child([] { raise(SIGSTOP); });
                  int status;
                  EXPECT_EQ(waitpid(stopped, &status, WUNTRACED), stopped);
                  const pid_t middle = fork_child([] {
                    fork_child([] { usleep(20'000); });
                    _exit(0);
                  });
                  EXPECT_EXITED(wait_for(middle), 0);
                  EXPECT_EQ(waitpid(stopped, &status, WNOHANG | WCONTINUED), 0);
                  MUST(kill(stopped, SIGKILL));
                  EXPECT_KILLED(wait_for(stopped), SIGKILL);
                }),
                0);
}

TEST(Pgrp, OrphanedGroupIgnoresTtyStops) {
  int status = run_child([] {
    MUST(setsid());  // Its group is orphaned: the parent is in another session.
    raise(SIGTSTP);
    raise(SIGTTIN);
    raise(SIGTTOU);
  });
  EXPECT_EXITED(status, 0);
}

TEST(Pgrp, StopSignalStopsAnOrphanToo) {
  pid_t pid = fork_child([] {
    MUST(setsid());
    raise(SIGSTOP);
  });
  int status;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  MUST(kill(pid, SIGCONT));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Pgrp, ThreadsAreSeenAsTheirProcess) {
  Thread thread([] {
    EXPECT_EQ(getpgid(gettid()), getpgrp());
    EXPECT_EQ(getsid(gettid()), getsid(0));
  });
}

}  // namespace
