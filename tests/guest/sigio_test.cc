// Signals for files: F_SETOWN, F_SETSIG and O_ASYNC; F_NOTIFY (fcntl(2)).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

volatile sig_atomic_t count = 0;
siginfo_t last;

void on_signal(int, siginfo_t* info, void*) {
  last = *info;
  count = count + 1;
}

void catch_signal(int signal) {
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  MUST(sigaction(signal, &action, nullptr));
}

// Whether a signal came, and how many since the last call.
int signals() {
  const int n = count;
  count = 0;
  return n;
}

void make_async(int fd, int signal) {
  MUST(fcntl(fd, F_SETOWN, getpid()));
  if (signal) MUST(fcntl(fd, F_SETSIG, signal));
  MUST(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC));
}

TEST(Sigio, PlainSignalWhenAPipeIsReadable) {
  catch_signal(SIGIO);
  int fds[2];
  MUST(pipe(fds));
  make_async(fds[0], 0);
  EXPECT_EQ(signals(), 0);
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 1);
  EXPECT_EQ(last.si_signo, SIGIO);
}

TEST(Sigio, TellsDescriptorAndEvent) {
  catch_signal(SIGRTMIN);
  int fds[2];
  MUST(pipe(fds));
  make_async(fds[0], SIGRTMIN);
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 1);
  EXPECT_EQ(last.si_signo, SIGRTMIN);
  EXPECT_EQ(last.si_fd, fds[0]);
  EXPECT_EQ(last.si_code, POLL_IN);
  EXPECT_EQ(last.si_band, long(POLLIN | POLLRDNORM));
}

TEST(Sigio, WriterHearsOfRoom) {
  catch_signal(SIGRTMIN);
  int fds[2];
  MUST(pipe2(fds, O_NONBLOCK));
  make_async(fds[1], SIGRTMIN);
  char block[4096] = {};
  while (write(fds[1], block, sizeof block) > 0) {
  }
  signals();
  MUST(read(fds[0], block, sizeof block));
  EXPECT_GE(signals(), 1);
  EXPECT_EQ(last.si_fd, fds[1]);
  EXPECT_EQ(last.si_code, POLL_OUT);
}

TEST(Sigio, Sockets) {
  catch_signal(SIGRTMIN);
  int fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  make_async(fds[0], SIGRTMIN);
  MUST(write(fds[1], "x", 1));
  EXPECT_GE(signals(), 1);
  EXPECT_EQ(last.si_fd, fds[0]);
  EXPECT_EQ(last.si_code, POLL_IN);
}

TEST(Sigio, Terminals) {
  catch_signal(SIGIO);
  UniqueFd master(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
  MUST(grantpt(master.get()));
  MUST(unlockpt(master.get()));
  UniqueFd slave(MUST(open(ptsname(master.get()), O_RDWR | O_NOCTTY)));
  make_async(slave.get(), 0);
  MUST(write(master.get(), "line\n", 5));
  for (int i = 0; i < 200 && count == 0; i++) usleep(5000);
  EXPECT_GE(signals(), 1);
}

TEST(Sigio, Inotify) {
  catch_signal(SIGIO);
  UniqueFd fd(MUST(inotify_init1(0)));
  MUST(inotify_add_watch(fd.get(), ".", IN_CREATE));
  make_async(fd.get(), 0);
  write_file("f", "x");
  EXPECT_EQ(signals(), 1);
}

TEST(Sigio, OnlyWhileAsked) {
  catch_signal(SIGIO);
  int fds[2];
  MUST(pipe(fds));
  make_async(fds[0], 0);
  MUST(fcntl(fds[0], F_SETFL, 0));
  EXPECT_EQ(fcntl(fds[0], F_GETFL) & O_ASYNC, 0);
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 0);
  int on = 1;
  MUST(ioctl(fds[0], FIOASYNC, &on));
  EXPECT_NE(fcntl(fds[0], F_GETFL) & O_ASYNC, 0);
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 1);
  on = 0;
  MUST(ioctl(fds[0], FIOASYNC, &on));
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 0);
}

TEST(Sigio, NotWithoutOwner) {
  catch_signal(SIGIO);
  int fds[2];
  MUST(pipe(fds));
  MUST(fcntl(fds[0], F_SETFL, O_ASYNC));
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 0);
  EXPECT_EQ(fcntl(fds[0], F_GETOWN), 0);
  EXPECT_ERR(fcntl(fds[0], F_SETOWN, 0x3fffffff), ESRCH);
}

TEST(Sigio, EndsWithItsFile) {
  catch_signal(SIGIO);
  int fds[2];
  MUST(pipe(fds));
  UniqueFd other(MUST(open(("/proc/self/fd/" + std::to_string(fds[0])).c_str(), O_RDONLY)));
  make_async(fds[0], 0);
  close(fds[0]);
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 0);
}

TEST(Sigio, ToOneThread) {
  catch_signal(SIGRTMIN);
  int fds[2];
  MUST(pipe(fds));
  struct {
    int type, pid;
  } owner = {F_OWNER_TID, gettid()};
  MUST(fcntl(fds[0], F_SETOWN_EX, &owner));
  MUST(fcntl(fds[0], F_SETSIG, SIGRTMIN));
  MUST(fcntl(fds[0], F_SETFL, O_ASYNC));
  Thread writer([&] { MUST(write(fds[1], "x", 1)); });
  writer.join();
  EXPECT_EQ(signals(), 1);
}

TEST(Sigio, ToAProcessGroup) {
  catch_signal(SIGIO);
  int fds[2];
  MUST(pipe(fds));
  MUST(fcntl(fds[0], F_SETOWN, -getpgrp()));
  EXPECT_EQ(fcntl(fds[0], F_GETOWN), -getpgrp());
  MUST(fcntl(fds[0], F_SETFL, O_ASYNC));
  MUST(write(fds[1], "x", 1));
  EXPECT_EQ(signals(), 1);
}

TEST(Dnotify, TellsOnce) {
  catch_signal(SIGRTMIN);
  MUST(mkdir("d", 0755));
  UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  MUST(fcntl(dir.get(), F_SETSIG, SIGRTMIN));
  MUST(fcntl(dir.get(), F_NOTIFY, DN_CREATE | DN_DELETE));
  write_file("d/f", "x");
  EXPECT_EQ(signals(), 1);
  EXPECT_EQ(last.si_fd, dir.get());
  MUST(unlink("d/f"));
  EXPECT_EQ(signals(), 0);
}

TEST(Dnotify, TellsAgainAndAgain) {
  catch_signal(SIGIO);
  MUST(mkdir("d", 0755));
  write_file("d/f", "x");
  UniqueFd dir(MUST(open("d", O_RDONLY | O_DIRECTORY)));
  MUST(fcntl(dir.get(), F_NOTIFY, DN_MODIFY | DN_RENAME | DN_MULTISHOT));
  UniqueFd file(MUST(open("d/f", O_WRONLY)));
  EXPECT_EQ(signals(), 0);
  MUST(write(file.get(), "y", 1));
  EXPECT_EQ(signals(), 1);
  MUST(rename("d/f", "d/g"));
  EXPECT_GE(signals(), 1);
  MUST(fcntl(dir.get(), F_NOTIFY, 0));
  MUST(write(file.get(), "z", 1));
  EXPECT_EQ(signals(), 0);
  EXPECT_ERR(fcntl(file.get(), F_NOTIFY, DN_CREATE), ENOTDIR);
}

TEST(Dnotify, EndsWithTheDescriptor) {
  catch_signal(SIGIO);
  MUST(mkdir("d", 0755));
  int dir = MUST(open("d", O_RDONLY | O_DIRECTORY));
  MUST(fcntl(dir, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
  close(dir);
  write_file("d/f", "x");
  EXPECT_EQ(signals(), 0);
}

}  // namespace
