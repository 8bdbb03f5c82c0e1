// Leases: F_SETLEASE and F_GETLEASE (fcntl(2)).
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

volatile sig_atomic_t count = 0;
volatile int last_fd = -1;

void on_signal(int, siginfo_t* info, void*) {
  last_fd = info->si_fd;
  count = count + 1;
}

void catch_signal(int signal) {
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  MUST(sigaction(signal, &action, nullptr));
}

void wait_for_signal() {
  for (int i = 0; i < 1000 && count == 0; i++) usleep(2000);
  EXPECT_EQ(count, 1);
}

UniqueFd leased(int flags, int type) {
  write_file("f", "contents");
  UniqueFd fd(MUST(open("f", flags)));
  MUST(fcntl(fd.get(), F_SETLEASE, type));
  return fd;
}

TEST(Lease, ReadLeaseIsBrokenByAWriter) {
  catch_signal(SIGIO);
  UniqueFd fd = leased(O_RDONLY, F_RDLCK);
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_RDLCK);
  UniqueFd reader(MUST(open("f", O_RDONLY)));
  EXPECT_EQ(count, 0);
  EXPECT_ERR(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  EXPECT_EQ(count, 1);
  EXPECT_ERR(open("f", O_WRONLY | O_NONBLOCK), EWOULDBLOCK);
  EXPECT_EQ(count, 1);  // It was told.
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_UNLCK);
  EXPECT_OK(fcntl(fd.get(), F_SETLEASE, F_UNLCK));
  UniqueFd writer(MUST(open("f", O_WRONLY | O_NONBLOCK)));
}

TEST(Lease, OpenerWaitsUntilItIsGivenUp) {
  catch_signal(SIGIO);
  UniqueFd fd = leased(O_RDONLY, F_RDLCK);
  pid_t child = fork_child([] { close(MUST(open("f", O_WRONLY | O_TRUNC))); });
  wait_for_signal();
  wait_until_blocked(child);
  struct stat st;
  MUST(stat("f", &st));
  EXPECT_EQ(st.st_size, 8);
  EXPECT_OK(fcntl(fd.get(), F_SETLEASE, F_UNLCK));
  EXPECT_EXITED(wait_for(child), 0);
  MUST(stat("f", &st));
  EXPECT_EQ(st.st_size, 0);
}

TEST(Lease, WriteLeaseIsLoweredForAReader) {
  catch_signal(SIGRTMIN);
  UniqueFd fd = leased(O_RDONLY, F_WRLCK);
  MUST(fcntl(fd.get(), F_SETSIG, SIGRTMIN));
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_WRLCK);
  EXPECT_ERR(open("f", O_RDONLY | O_NONBLOCK), EWOULDBLOCK);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(last_fd, fd.get());
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_RDLCK);
  EXPECT_OK(fcntl(fd.get(), F_SETLEASE, F_RDLCK));
  UniqueFd reader(MUST(open("f", O_RDONLY | O_NONBLOCK)));
  EXPECT_EQ(fcntl(fd.get(), F_GETLEASE), F_RDLCK);
}

TEST(Lease, TruncateWaits) {
  catch_signal(SIGIO);
  UniqueFd fd = leased(O_RDONLY, F_RDLCK);
  pid_t child = fork_child([] { EXPECT_OK(truncate("f", 3)); });
  wait_for_signal();
  wait_until_blocked(child);
  struct stat st;
  MUST(stat("f", &st));
  EXPECT_EQ(st.st_size, 8);
  EXPECT_OK(fcntl(fd.get(), F_SETLEASE, F_UNLCK));
  EXPECT_EXITED(wait_for(child), 0);
  MUST(stat("f", &st));
  EXPECT_EQ(st.st_size, 3);
}

TEST(Lease, GoesWithItsFile) {
  leased(O_RDONLY, F_RDLCK).reset();
  UniqueFd writer(MUST(open("f", O_WRONLY | O_NONBLOCK)));
}

TEST(Lease, ASignalEndsTheWait) {
  catch_signal(SIGIO);
  UniqueFd fd = leased(O_RDONLY, F_RDLCK);
  pid_t child = fork_child([] {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    MUST(sigaction(SIGUSR1, &action, nullptr));
    EXPECT_ERR(open("f", O_WRONLY), EINTR);
  });
  wait_for_signal();
  wait_until_blocked(child);
  MUST(kill(child, SIGUSR1));
  EXPECT_EXITED(wait_for(child), 0);
}

TEST(Lease, Errors) {
  write_file("f", "x");
  UniqueFd first(MUST(open("f", O_RDONLY)));
  UniqueFd second(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(fcntl(first.get(), F_SETLEASE, F_WRLCK), EAGAIN);  // Another has it open.
  EXPECT_ERR(fcntl(first.get(), F_SETLEASE, F_UNLCK), EAGAIN);  // There is none.
  EXPECT_ERR(fcntl(first.get(), F_SETLEASE, 77), EINVAL);
  second.reset();
  UniqueFd writer(MUST(open("f", O_RDWR)));
  EXPECT_ERR(fcntl(first.get(), F_SETLEASE, F_RDLCK), EAGAIN);
  UniqueFd dir(MUST(open(".", O_RDONLY)));
  EXPECT_ERR(fcntl(dir.get(), F_SETLEASE, F_WRLCK), EINVAL);
}

TEST(Lease, OnlyOfOnesOwnFiles) {
  NEEDS_CAPABILITY(6);  // CAP_SETGID, as root has it.
  write_file("f", "x");
  MUST(chmod("f", 0644));
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  EXPECT_EXITED(run_child([&] {
                  become_unprivileged();
                  EXPECT_ERR(fcntl(fd.get(), F_SETLEASE, F_RDLCK), EACCES);
                }),
                0);
}

}  // namespace
