// signalfd(2).
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

sigset_t blocked_set(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : signals) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return set;
}

TEST(Signalfd, ReadsAPendingSignal) {
  sigset_t set = blocked_set({SIGUSR1});
  UniqueFd fd(MUST(signalfd(-1, &set, SFD_NONBLOCK)));
  signalfd_siginfo info = {};
  EXPECT_ERR(read(fd.get(), &info, sizeof info), EAGAIN);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(read(fd.get(), &info, sizeof info), ssize_t(sizeof info));
  EXPECT_EQ(info.ssi_signo, unsigned{SIGUSR1});
  EXPECT_EQ(info.ssi_code, SI_USER);
  EXPECT_EQ(info.ssi_pid, unsigned(getpid()));
  EXPECT_ERR(read(fd.get(), &info, sizeof info), EAGAIN);
}

TEST(Signalfd, SeveralInOneRead) {
  sigset_t set = blocked_set({SIGUSR1, SIGUSR2, SIGRTMIN});
  UniqueFd fd(MUST(signalfd(-1, &set, SFD_NONBLOCK)));
  kill(getpid(), SIGUSR2);
  kill(getpid(), SIGUSR1);
  sigval value;
  value.sival_int = 5;
  sigqueue(getpid(), SIGRTMIN, value);
  signalfd_siginfo infos[4];
  EXPECT_EQ(read(fd.get(), infos, sizeof infos), ssize_t(3 * sizeof infos[0]));
  EXPECT_EQ(infos[0].ssi_signo, unsigned{SIGUSR1});
  EXPECT_EQ(infos[1].ssi_signo, unsigned{SIGUSR2});
  EXPECT_EQ(infos[2].ssi_int, 5);
}

TEST(Signalfd, ShortBufferIsEinval) {
  sigset_t set = blocked_set({SIGUSR1});
  UniqueFd fd(MUST(signalfd(-1, &set, SFD_NONBLOCK)));
  signalfd_siginfo info;
  EXPECT_ERR(read(fd.get(), &info, sizeof info - 1), EINVAL);
}

TEST(Signalfd, PollAndBlockedReader) {
  sigset_t set = blocked_set({SIGUSR1});
  UniqueFd fd(MUST(signalfd(-1, &set, 0)));
  pollfd poll_fd = {fd.get(), POLLIN, 0};
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  Thread reader([&] {
    signalfd_siginfo info;
    EXPECT_EQ(read(fd.get(), &info, sizeof info), ssize_t(sizeof info));
  });
  wait_until_blocked(reader.tid());
  kill(getpid(), SIGUSR1);
  reader.join();
  EXPECT_EQ(poll(&poll_fd, 1, 0), 0);
  kill(getpid(), SIGUSR1);
  EXPECT_EQ(poll(&poll_fd, 1, 0), 1);
}

TEST(Signalfd, MaskCanBeReplaced) {
  sigset_t both = blocked_set({SIGUSR1, SIGUSR2});
  sigset_t second;
  sigemptyset(&second);
  sigaddset(&second, SIGUSR2);
  UniqueFd fd(MUST(signalfd(-1, &both, SFD_NONBLOCK)));
  EXPECT_EQ(signalfd(fd.get(), &second, 0), fd.get());
  kill(getpid(), SIGUSR1);
  signalfd_siginfo info;
  EXPECT_ERR(read(fd.get(), &info, sizeof info), EAGAIN);
}

TEST(Signalfd, Errors) {
  sigset_t set = blocked_set({SIGUSR1});
  EXPECT_ERR(signalfd(-1, &set, 0x10), EINVAL);
  UniqueFd null(MUST(open("/dev/null", O_RDONLY)));
  EXPECT_ERR(signalfd(null.get(), &set, 0), EINVAL);
  EXPECT_ERR(signalfd(999, &set, 0), EBADF);
  EXPECT_ERR(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
}

TEST(Signalfd, ReportsTheReadersSignals) {
  sigset_t set = blocked_set({SIGUSR1});
  UniqueFd fd(MUST(signalfd(-1, &set, SFD_NONBLOCK)));
  kill(getpid(), SIGUSR1);
  // The child inherits the descriptor but not the pending signal.
  EXPECT_EXITED(run_child([&] {
                  signalfd_siginfo info;
                  EXPECT_ERR(read(fd.get(), &info, sizeof info), EAGAIN);
                }),
                0);
  signalfd_siginfo info;
  EXPECT_EQ(read(fd.get(), &info, sizeof info), ssize_t(sizeof info));
}

TEST(Signalfd, ChildExitFields) {
  sigset_t set = blocked_set({SIGCHLD});
  UniqueFd fd(MUST(signalfd(-1, &set, SFD_CLOEXEC)));
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  pid_t pid = fork_child([] { _exit(6); });
  signalfd_siginfo info = {};
  EXPECT_EQ(read(fd.get(), &info, sizeof info), ssize_t(sizeof info));
  EXPECT_EQ(info.ssi_pid, unsigned(pid));
  EXPECT_EQ(info.ssi_status, 6);
  EXPECT_EQ(info.ssi_code, CLD_EXITED);
  wait_for(pid);
}

}  // namespace
