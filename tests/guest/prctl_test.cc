// prctl(2), arch_prctl(2), personality(2), uname(2), sethostname(2), getrandom(2), sysinfo(2).
#include <asm/prctl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

TEST(Prctl, Name) {
  char name[17] = {};
  EXPECT_OK(prctl(PR_SET_NAME, "hello"));
  EXPECT_OK(prctl(PR_GET_NAME, name));
  EXPECT_EQ(std::string(name), "hello");
  EXPECT_ERR(prctl(PR_SET_NAME, 8), EFAULT);
}

TEST(Prctl, UnknownIsEinval) {
  EXPECT_ERR(prctl(123456, 0, 0, 0, 0), EINVAL);
  EXPECT_ERR(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
  EXPECT_ERR(prctl(PR_SET_DUMPABLE, 2), EINVAL);
}

// What the parent of a child that has asked for SIGUSR1 leaves behind: what the child says of it.
std::string at_parents_death(void (*child)(int out)) {
  int fds[2];
  MUST(pipe(fds));
  const pid_t middle = fork_child([&] {
    fork_child([&] {
      MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      child(fds[1]);
      _exit(0);
    });
    char byte;
    MUST(read(fds[0], &byte, 1));  // It is ready.
    _exit(0);
  });
  close(fds[1]);
  EXPECT_EXITED(wait_for(middle), 0);
  std::string said;
  for (char byte; read(fds[0], &byte, 1) == 1;) said += byte;
  return said;
}

TEST(Prctl, TheParentsDeathIsToldByTheParent) {
  EXPECT_EQ(at_parents_death([](int out) {
              sigset_t set;
              sigemptyset(&set);
              sigaddset(&set, SIGUSR1);
              sigprocmask(SIG_BLOCK, &set, nullptr);
              const pid_t parent = getppid();
              MUST(write(out, "r", 1));
              siginfo_t info;
              MUST(sigwaitinfo(&set, &info));
              MUST(write(out, info.si_code == SI_USER ? "u" : "?", 1));
              MUST(write(out, info.si_pid == parent ? "p" : "?", 1));
            }),
            "up");
}

TEST(Prctl, TheParentsDeathIsToldToTheProcess) {
  EXPECT_EQ(at_parents_death([](int out) {
              static int to;
              to = out;
              handle_signal(SIGUSR1, [](int) {
                [[maybe_unused]] ssize_t n = write(to, "s", 1);
                _exit(0);
              });
              Thread other([] {
                MUST(write(to, "r", 1));
                for (;;) pause();
              });
              syscall(SYS_exit, 0);
            }),
            "s");
}

TEST(Prctl, Dumpable) {
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 1);
  EXPECT_OK(prctl(PR_SET_DUMPABLE, 0));
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
}

TEST(Prctl, NoNewPrivs) {
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  EXPECT_ERR(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
  EXPECT_ERR(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
  EXPECT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  EXPECT_EXITED(run_child([] { EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1); }), 0);
  EXPECT_EQ(proc_field("/proc/self/status", "NoNewPrivs"), "1");
}

TEST(Prctl, Keepcaps) {
  EXPECT_EQ(prctl(PR_GET_KEEPCAPS), 0);
  EXPECT_ERR(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
  EXPECT_OK(prctl(PR_SET_KEEPCAPS, 1));
  EXPECT_EQ(prctl(PR_GET_KEEPCAPS), 1);
}

TEST(Prctl, CapbsetRead) {
  EXPECT_GE(prctl(PR_CAPBSET_READ, CAP_CHOWN), 0);
  EXPECT_ERR(prctl(PR_CAPBSET_READ, 100), EINVAL);
}

TEST(Prctl, Timerslack) {
  EXPECT_GT(prctl(PR_GET_TIMERSLACK), 0);
  EXPECT_OK(prctl(PR_SET_TIMERSLACK, 12345));
  EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 12345);
}

TEST(Prctl, TidAddress) {
  int* address = nullptr;
  EXPECT_OK(prctl(PR_GET_TID_ADDRESS, &address));
  EXPECT_TRUE(address != nullptr);
}

TEST(ArchPrctl, FsAndGs) {
  unsigned long fs = 0, gs = 1;
  EXPECT_OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
  EXPECT_NE(fs, 0u);
  EXPECT_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
  EXPECT_EQ(gs, 0u);
  static unsigned long word = 77;
  EXPECT_OK(syscall(SYS_arch_prctl, ARCH_SET_GS, &word));
  unsigned long read_back;
  asm volatile("mov %%gs:0, %0" : "=r"(read_back));
  EXPECT_EQ(read_back, 77u);
  EXPECT_ERR(syscall(SYS_arch_prctl, ARCH_SET_GS, 1ul << 63), EPERM);
  EXPECT_ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
}

TEST(ArchPrctl, GsIsPerThreadAndInherited) {
  static unsigned long word = 5;
  MUST(syscall(SYS_arch_prctl, ARCH_SET_GS, &word));
  EXPECT_EXITED(run_child([] {
                  unsigned long gs = 0;
                  EXPECT_OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
                  EXPECT_EQ(gs, reinterpret_cast<unsigned long>(&word));
                }),
                0);
}

TEST(Personality, GetAndSet) {
  int before = personality(0xffffffff);
  EXPECT_GE(before, 0);
  EXPECT_EQ(personality(before | ADDR_NO_RANDOMIZE), before);
  EXPECT_EQ(personality(0xffffffff), before | ADDR_NO_RANDOMIZE);
  EXPECT_EXITED(run_child([&] { EXPECT_EQ(personality(0xffffffff), before | ADDR_NO_RANDOMIZE); }),
                0);
}

TEST(Uname, Fields) {
  utsname names = {};
  EXPECT_OK(uname(&names));
  EXPECT_EQ(std::string(names.sysname), "Linux");
  EXPECT_EQ(std::string(names.machine), "x86_64");
  EXPECT_GE(atoi(names.release), 4);
  EXPECT_ERR(uname(reinterpret_cast<utsname*>(8)), EFAULT);
  EXPECT_EQ(read_file("/proc/sys/kernel/hostname"), std::string(names.nodename) + "\n");
}

TEST(Uname, HostnameInItsOwnNamespace) {
  NEEDS_CAPABILITY(CAP_SYS_ADMIN);
  utsname before = {}, after = {};
  uname(&before);
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWUTS));
                  EXPECT_OK(sethostname("other-name", 10));
                  EXPECT_OK(setdomainname("domain", 6));
                  utsname names;
                  uname(&names);
                  EXPECT_EQ(std::string(names.nodename), "other-name");
                  EXPECT_EQ(std::string(names.domainname), "domain");
                  EXPECT_ERR(sethostname("x", 65), EINVAL);
                }),
                0);
  uname(&after);
  EXPECT_EQ(std::string(before.nodename), std::string(after.nodename));
}

TEST(Uname, HostnameNeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  EXPECT_ERR(sethostname("x", 1), EPERM);
                }),
                0);
}

TEST(Getrandom, Works) {
  unsigned char a[32] = {}, b[32] = {};
  EXPECT_EQ(getrandom(a, sizeof a, 0), 32);
  EXPECT_EQ(getrandom(b, sizeof b, GRND_NONBLOCK), 32);
  EXPECT_NE(memcmp(a, b, 32), 0);
  EXPECT_EQ(getrandom(a, 0, 0), 0);
  EXPECT_ERR(getrandom(a, 1, 0x100), EINVAL);
  EXPECT_ERR(getrandom(a, 1, GRND_RANDOM | GRND_INSECURE), EINVAL);
  EXPECT_ERR(getrandom(reinterpret_cast<void*>(8), 8, 0), EFAULT);
}

TEST(Sysinfo, IsSane) {
  struct sysinfo info = {};
  EXPECT_OK(sysinfo(&info));
  EXPECT_GT(info.totalram, 0u);
  EXPECT_LE(info.freeram, info.totalram);
  EXPECT_GT(info.procs, 0);
  EXPECT_GE(info.uptime, 0);
}

TEST(Syscall, UnknownNumbersAreEnosys) {
  EXPECT_ERR(syscall(5000), ENOSYS);
  EXPECT_ERR(syscall(-1), ENOSYS);
  EXPECT_ERR(syscall(0x7fffffff), ENOSYS);
}

TEST(Syscall, OldOnesAreEnosys) {
  EXPECT_ERR(syscall(SYS_create_module), ENOSYS);
  EXPECT_ERR(syscall(SYS_getpmsg), ENOSYS);
  EXPECT_ERR(syscall(SYS_uselib), ENOSYS);
}

}  // namespace
