// Controlling terminals and job control.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

// A session leader in a child process with a pseudo-terminal as its controlling terminal.
struct Terminal {
  UniqueFd master, slave;
};

template <class F>
void in_session(F body) {
  EXPECT_EXITED(run_child([&] {
                  MUST(setsid());
                  Terminal tty;
                  tty.master.reset(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
                  MUST(grantpt(tty.master.get()));
                  MUST(unlockpt(tty.master.get()));
                  tty.slave.reset(MUST(open(ptsname(tty.master.get()), O_RDWR | O_NOCTTY)));
                  MUST(ioctl(tty.slave.get(), TIOCSCTTY, 0));
                  body(tty);
                  handle_signal(SIGHUP, SIG_IGN);  // Of the terminal that ends here.
                }),
                0);
}

// A child in a process group of its own.
template <class F>
pid_t job(F body) {
  pid_t pid = fork_child([&] {
    setpgid(0, 0);
    body();
  });
  setpgid(pid, pid);
  return pid;
}

void make_foreground(const Terminal& tty, pid_t group) {
  // A background caller of tcsetpgrp is stopped unless it ignores SIGTTOU.
  handle_signal(SIGTTOU, SIG_IGN);
  ASSERT_OK(tcsetpgrp(tty.slave.get(), group));
  handle_signal(SIGTTOU, SIG_DFL);
}

int wait_stopped(pid_t pid) {
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  return WIFSTOPPED(status) ? WSTOPSIG(status) : -status;
}

TEST(Ctty, DevTtyIsTheTerminal) {
  in_session([](Terminal& tty) {
    UniqueFd fd(MUST(open("/dev/tty", O_RDWR)));
    EXPECT_EQ(write(fd.get(), "x", 1), 1);
    char byte;
    EXPECT_EQ(read(tty.master.get(), &byte, 1), 1);
    EXPECT_EQ(tcgetsid(fd.get()), getpid());
    EXPECT_EQ(tcgetpgrp(fd.get()), getpid());
  });
}

TEST(Ctty, OpenByALeaderTakesIt) {
  EXPECT_EXITED(run_child([] {
                  MUST(setsid());
                  UniqueFd master(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
                  MUST(unlockpt(master.get()));
                  UniqueFd slave(MUST(open(ptsname(master.get()), O_RDWR)));
                  UniqueFd tty(MUST(open("/dev/tty", O_RDWR)));
                  handle_signal(SIGHUP, SIG_IGN);
                }),
                0);
}

TEST(Ctty, NoctyDoesNot) {
  EXPECT_EXITED(run_child([] {
                  MUST(setsid());
                  UniqueFd master(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
                  MUST(unlockpt(master.get()));
                  UniqueFd slave(MUST(open(ptsname(master.get()), O_RDWR | O_NOCTTY)));
                  EXPECT_ERR(open("/dev/tty", O_RDWR), ENXIO);
                  EXPECT_ERR(tcgetpgrp(slave.get()), ENOTTY);
                }),
                0);
}

TEST(Ctty, NottyGivesItUp) {
  in_session([](Terminal& tty) {
    handle_signal(SIGHUP, SIG_IGN);
    EXPECT_OK(ioctl(tty.slave.get(), TIOCNOTTY));
    EXPECT_ERR(open("/dev/tty", O_RDWR), ENXIO);
  });
}

TEST(Ctty, SetpgrpRules) {
  in_session([](Terminal& tty) {
    EXPECT_ERR(tcsetpgrp(tty.slave.get(), -1), EINVAL);
    EXPECT_ERR(tcsetpgrp(tty.slave.get(), 1 << 22), ESRCH);
    EXPECT_ERR(tcsetpgrp(tty.slave.get(), getpgid(getppid())), EPERM);
    pid_t pid = job([] { pause(); });
    EXPECT_OK(tcsetpgrp(tty.slave.get(), pid));
    EXPECT_EQ(tcgetpgrp(tty.slave.get()), pid);
    MUST(kill(pid, SIGKILL));
    wait_for(pid);
  });
}

TEST(JobControl, CtrlCInterruptsTheForeground) {
  in_session([](Terminal& tty) {
    pid_t front = job([] { pause(); });
    pid_t back = job([] { pause(); });
    make_foreground(tty, front);
    EXPECT_EQ(write(tty.master.get(), "\x03", 1), 1);
    EXPECT_KILLED(wait_for(front), SIGINT);
    EXPECT_EQ(waitpid(back, nullptr, WNOHANG), 0);
    MUST(kill(back, SIGKILL));
    wait_for(back);
  });
}

TEST(JobControl, CtrlBackslashQuits) {
  in_session([](Terminal& tty) {
    pid_t front = job([] { pause(); });
    make_foreground(tty, front);
    EXPECT_EQ(write(tty.master.get(), "\x1c", 1), 1);
    EXPECT_KILLED(wait_for(front), SIGQUIT);
  });
}

TEST(JobControl, CtrlZStops) {
  in_session([](Terminal& tty) {
    pid_t front = job([] { pause(); });
    make_foreground(tty, front);
    EXPECT_EQ(write(tty.master.get(), "\x1a", 1), 1);
    EXPECT_EQ(wait_stopped(front), SIGTSTP);
    MUST(kill(front, SIGKILL));
    wait_for(front);
  });
}

TEST(JobControl, SignalsDiscardInput) {
  in_session([](Terminal& tty) {
    handle_signal(SIGINT, SIG_IGN);
    EXPECT_EQ(write(tty.master.get(),
                    "abc\x03"
                    "def\n",
                    8),
              8);
    char buffer[16];
    EXPECT_EQ(read(tty.slave.get(), buffer, sizeof buffer), 4);
    EXPECT_EQ(std::string(buffer, 4), "def\n");
  });
}

TEST(JobControl, BackgroundReadIsSigttin) {
  in_session([](Terminal& tty) {
    pid_t back = job([&] {
      char byte;
      EXPECT_EQ(read(tty.slave.get(), &byte, 1), 1);
    });
    EXPECT_EQ(wait_stopped(back), SIGTTIN);
    make_foreground(tty, back);
    EXPECT_EQ(write(tty.master.get(), "x\n", 2), 2);
    MUST(kill(back, SIGCONT));
    EXPECT_EXITED(wait_for(back), 0);
  });
}

TEST(JobControl, BackgroundReadWithSigttinIgnoredIsEio) {
  in_session([](Terminal& tty) {
    pid_t back = job([&] {
      handle_signal(SIGTTIN, SIG_IGN);
      char byte;
      EXPECT_ERR(read(tty.slave.get(), &byte, 1), EIO);
    });
    EXPECT_EXITED(wait_for(back), 0);
  });
}

TEST(JobControl, BackgroundWriteFollowsTostop) {
  in_session([](Terminal& tty) {
    pid_t back = job([&] { EXPECT_EQ(write(tty.slave.get(), "x", 1), 1); });
    EXPECT_EXITED(wait_for(back), 0);
    termios now;
    MUST(tcgetattr(tty.slave.get(), &now));
    now.c_lflag |= TOSTOP;
    MUST(tcsetattr(tty.slave.get(), TCSANOW, &now));
    back = job([&] { [[maybe_unused]] ssize_t n = write(tty.slave.get(), "x", 1); });
    EXPECT_EQ(wait_stopped(back), SIGTTOU);
    MUST(kill(back, SIGKILL));
    wait_for(back);
  });
}

TEST(JobControl, BackgroundTcsetattrIsSigttou) {
  in_session([](Terminal& tty) {
    pid_t back = job([&] {
      termios now;
      MUST(tcgetattr(tty.slave.get(), &now));
      MUST(tcsetattr(tty.slave.get(), TCSANOW, &now));
    });
    EXPECT_EQ(wait_stopped(back), SIGTTOU);
    MUST(kill(back, SIGKILL));
    wait_for(back);
  });
}

TEST(JobControl, WindowSizeChangeIsSigwinch) {
  in_session([](Terminal& tty) {
    block_signal(SIGWINCH);
    winsize size = {10, 20, 0, 0};
    MUST(ioctl(tty.master.get(), TIOCSWINSZ, &size));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGWINCH);
    timespec limit = {2, 0};
    EXPECT_EQ(sigtimedwait(&set, nullptr, &limit), SIGWINCH);
    MUST(ioctl(tty.master.get(), TIOCSWINSZ, &size));  // The same size again says nothing.
    limit = {0, 1000000};
    EXPECT_ERR(sigtimedwait(&set, nullptr, &limit), EAGAIN);
  });
}

TEST(Hangup, ClosingTheMasterSendsSighup) {
  in_session([](Terminal& tty) {
    block_signal(SIGHUP);
    tty.master.reset();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    timespec limit = {2, 0};
    EXPECT_EQ(sigtimedwait(&set, nullptr, &limit), SIGHUP);
    char byte;
    EXPECT_EQ(read(tty.slave.get(), &byte, 1), 0);
  });
}

TEST(Hangup, LeaderExitHangsUpTheForeground) {
  int fds[2];
  MUST(pipe(fds));
  pid_t leader = fork_child([&] {
    MUST(setsid());
    UniqueFd master(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
    MUST(unlockpt(master.get()));
    UniqueFd slave(MUST(open(ptsname(master.get()), O_RDWR)));
    fork_child([&] {
      static int out;
      out = fds[1];
      handle_signal(SIGHUP, [](int) {
        [[maybe_unused]] ssize_t n = write(out, "h", 1);
        _exit(0);
      });
      EXPECT_EQ(write(out, "r", 1), 1);
      pause();
    });
    usleep(20000);
  });
  close(fds[1]);
  EXPECT_EXITED(wait_for(leader), 0);
  std::string got;
  for (char byte; read(fds[0], &byte, 1) == 1;) got += byte;
  EXPECT_EQ(got, "rh");
}

TEST(Ctty, TiocsctyIsOnlyForLeaders) {
  in_session([](Terminal& tty) {
    EXPECT_EXITED(run_child([&] { EXPECT_ERR(ioctl(tty.slave.get(), TIOCSCTTY, 0), EPERM); }), 0);
  });
}

TEST(Ctty, ShownInStat) {
  in_session([](Terminal&) {
    std::string stat = read_file("/proc/self/stat");
    int ppid, pgrp, session, tty = 0, tpgid = 0;
    char state;
    EXPECT_EQ(sscanf(stat.c_str() + stat.rfind(')') + 2, "%c %d %d %d %d %d", &state, &ppid, &pgrp,
                     &session, &tty, &tpgid),
              6);
    EXPECT_EQ(tty >> 8, 136);
    EXPECT_EQ(tpgid, getpid());
    EXPECT_EQ(session, getpid());
  });
}

}  // namespace
