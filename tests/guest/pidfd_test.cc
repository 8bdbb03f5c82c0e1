// pidfds and child subreapers.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>

#include "tests/guest/harness.h"

extern "C" {
#include <sys/pidfd.h>  // Of glibc 2.36, which forgot to say so itself.
}

namespace {

using namespace guest;

TEST(Pidfd, OpenAndPoll) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  UniqueFd pidfd(MUST(pidfd_open(pid, 0)));
  EXPECT_EQ(fcntl(pidfd.get(), F_GETFD), FD_CLOEXEC);
  pollfd poll_fd = {pidfd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EQ(poll(&poll_fd, 1, 5000), 1);
  EXPECT_EQ(poll_fd.revents & POLLIN, POLLIN);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Pidfd, OpenErrors) {
  EXPECT_ERR(pidfd_open(-1, 0), EINVAL);
  EXPECT_ERR(pidfd_open(0, 0), EINVAL);
  EXPECT_ERR(pidfd_open(getpid(), 0x10), EINVAL);
  pid_t pid = fork_child([] {});
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_ERR(pidfd_open(pid, 0), ESRCH);
}

TEST(Pidfd, SendSignal) {
  pid_t pid = fork_child([] { pause(); });
  UniqueFd pidfd(MUST(pidfd_open(pid, 0)));
  EXPECT_OK(pidfd_send_signal(pidfd.get(), 0, nullptr, 0));
  EXPECT_ERR(pidfd_send_signal(pidfd.get(), 65, nullptr, 0), EINVAL);
  EXPECT_ERR(pidfd_send_signal(pidfd.get(), SIGTERM, nullptr, 0x100), EINVAL);
  EXPECT_OK(pidfd_send_signal(pidfd.get(), SIGTERM, nullptr, 0));
  EXPECT_KILLED(wait_for(pid), SIGTERM);
  EXPECT_ERR(pidfd_send_signal(pidfd.get(), 0, nullptr, 0), ESRCH);
}

TEST(Pidfd, SendSignalWithInfo) {
  pid_t pid = fork_child([] {
    block_signal(SIGUSR1);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    siginfo_t info;
    EXPECT_EQ(sigwaitinfo(&set, &info), SIGUSR1);
    EXPECT_EQ(info.si_code, SI_QUEUE);
    EXPECT_EQ(info.si_value.sival_int, 99);
  });
  wait_until_blocked(pid);
  UniqueFd pidfd(MUST(pidfd_open(pid, 0)));
  siginfo_t info = {};
  info.si_signo = SIGUSR1;
  info.si_code = SI_QUEUE;
  info.si_value.sival_int = 99;
  EXPECT_ERR(pidfd_send_signal(pidfd.get(), SIGUSR2, &info, 0), EINVAL);
  EXPECT_OK(pidfd_send_signal(pidfd.get(), SIGUSR1, &info, 0));
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(Pidfd, NotAPidfd) {
  UniqueFd fd(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_ERR(pidfd_send_signal(fd.get(), 0, nullptr, 0), EBADF);
  siginfo_t info;
  EXPECT_ERR(waitid(P_PIDFD, fd.get(), &info, WEXITED), EBADF);
}

TEST(Pidfd, GetfdCopiesADescriptor) {
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    int number = MUST(open("/dev/zero", O_RDONLY));
    EXPECT_EQ(write(fds[1], &number, sizeof number), ssize_t(sizeof number));
    pause();
  });
  int number = -1;
  ASSERT_EQ(read(fds[0], &number, sizeof number), ssize_t(sizeof number));
  UniqueFd pidfd(MUST(pidfd_open(pid, 0)));
  UniqueFd copy(MUST(pidfd_getfd(pidfd.get(), number, 0)));
  EXPECT_EQ(fcntl(copy.get(), F_GETFD), FD_CLOEXEC);
  char byte = 1;
  EXPECT_EQ(read(copy.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_ERR(pidfd_getfd(pidfd.get(), 1000, 0), EBADF);
  EXPECT_ERR(pidfd_getfd(pidfd.get(), 0, 1), EINVAL);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Pidfd, NonblockingWait) {
  pid_t pid = fork_child([] { pause(); });
  UniqueFd pidfd(MUST(pidfd_open(pid, O_NONBLOCK)));
  siginfo_t info;
  EXPECT_ERR(waitid(P_PIDFD, pidfd.get(), &info, WEXITED), EAGAIN);
  MUST(kill(pid, SIGKILL));
  EXPECT_KILLED(wait_for(pid), SIGKILL);
}

TEST(Pidfd, FdinfoNamesThePid) {
  UniqueFd pidfd(MUST(pidfd_open(getpid(), 0)));
  std::string path = "/proc/self/fdinfo/" + std::to_string(pidfd.get());
  EXPECT_EQ(proc_field(path.c_str(), "Pid"), std::to_string(getpid()));
}

TEST(Pidfd, NotReadable) {
  UniqueFd pidfd(MUST(pidfd_open(getpid(), 0)));
  char byte;
  EXPECT_ERR(read(pidfd.get(), &byte, 1), EINVAL);
}

TEST(Subreaper, AdoptsGrandchildren) {
  int fds[2];
  MUST(pipe(fds));
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int on = 0;
  EXPECT_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
  EXPECT_EQ(on, 1);
  pid_t reaper = getpid();
  pid_t middle = fork_child([&] {
    fork_child([&] {
      char byte;
      EXPECT_EQ(read(fds[0], &byte, 1), 1);
      EXPECT_EQ(getppid(), reaper);
      _exit(12);
    });
  });
  EXPECT_EXITED(wait_for(middle), 0);
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EXITED(wait_for(-1), 12);
}

TEST(Subreaper, IsNotInherited) {
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  EXPECT_EXITED(run_child([] {
                  int on = 1;
                  EXPECT_OK(prctl(PR_GET_CHILD_SUBREAPER, &on));
                  EXPECT_EQ(on, 0);
                }),
                0);
}

TEST(Subreaper, ZombiesAreHandedOver) {
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  pid_t middle = fork_child([] {
    pid_t inner = fork_child([] { _exit(21); });
    wait_for_state(inner, "Z");
  });
  EXPECT_EXITED(wait_for(middle), 0);
  EXPECT_EXITED(wait_for(-1), 21);
}

TEST(ParentDeath, SignalIsSent) {
  EXPECT_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int fds[2];
  MUST(pipe(fds));
  pid_t middle = fork_child([&] {
    fork_child([&] {
      prctl(PR_SET_PDEATHSIG, SIGTERM);
      EXPECT_EQ(write(fds[1], "x", 1), 1);
      pause();
    });
    char byte;
    EXPECT_EQ(read(fds[0], &byte, 1), 1);
  });
  EXPECT_EXITED(wait_for(middle), 0);
  EXPECT_KILLED(wait_for(-1), SIGTERM);
}

}  // namespace
