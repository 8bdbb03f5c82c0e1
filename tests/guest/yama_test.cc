// Yama's say in who may trace whom: prctl(2), PR_SET_PTRACER; kernel.yama.ptrace_scope
// (Documentation/admin-guide/LSM/Yama.rst).
//
// The setting is the whole machine's, and scope 3 is for good: only where the machine is the test's
// own (OWN_MACHINE, which the runner sets).
#include <fcntl.h>
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr char kScope[] = "/proc/sys/kernel/yama/ptrace_scope";

void set_scope(const char* scope) {
  if (!getenv("OWN_MACHINE")) skip("the setting is the machine's, which is not the test's own");
  if (!is_root()) skip("takes root");
  write_file(kScope, scope);
  ASSERT_EQ(read_file(kScope), std::string(scope) + "\n");
}

// One that may be looked into by its like.
void become_nobody() {
  become_unprivileged();
  MUST(prctl(PR_SET_DUMPABLE, 1));
}

char secret[] = "secret";

// 0, or why `pid` cannot be attached to.
int attach_error(pid_t pid) {
  if (raw_ptrace(PTRACE_SEIZE, pid, 0, 0) != 0) return errno;
  MUST(raw_ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  (void)next_status(pid);
  MUST(raw_ptrace(PTRACE_DETACH, pid, 0, 0));
  return 0;
}
int open_error(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd fd(open(path.c_str(), O_RDONLY));
  return fd.get() < 0 ? errno : 0;
}
int read_error(pid_t pid, const char* name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + name;
  const UniqueFd fd(MUST(open(path.c_str(), O_RDONLY)));
  char text[64];
  return read(fd.get(), text, sizeof text) < 0 ? errno : 0;
}
int copy_error(pid_t pid) {
  char copy[sizeof secret];
  const iovec local = {copy, sizeof copy}, remote = {secret, sizeof secret};
  return process_vm_readv(pid, &local, 1, &remote, 1, 0) < 0 ? errno : 0;
}
int pidfd_error(pid_t pid) {
  const UniqueFd process(MUST(int(syscall(SYS_pidfd_open, pid, 0))));
  const UniqueFd fd(int(syscall(SYS_pidfd_getfd, process.get(), 0, 0)));
  return fd.get() < 0 ? errno : 0;
}

// All of what amounts to attaching fails, and what is only looking does not.
void expect_kept_out(pid_t pid) {
  EXPECT_EQ(attach_error(pid), EPERM);
  EXPECT_EQ(open_error(pid, "mem"), EACCES);
  EXPECT_EQ(read_error(pid, "syscall"), EPERM);
  EXPECT_EQ(read_error(pid, "personality"), EPERM);
  EXPECT_EQ(copy_error(pid), EPERM);
  EXPECT_EQ(pidfd_error(pid), EPERM);
  EXPECT_EQ(open_error(pid, "maps"), 0);
  EXPECT_EQ(open_error(pid, "environ"), 0);
  EXPECT_EQ(open_error(pid, "fd"), 0);
}
void expect_let_in(pid_t pid) {
  EXPECT_EQ(attach_error(pid), 0);
  EXPECT_EQ(open_error(pid, "mem"), 0);
  EXPECT_EQ(read_error(pid, "syscall"), 0);
  EXPECT_EQ(read_error(pid, "personality"), 0);
  EXPECT_EQ(copy_error(pid), 0);
  EXPECT_EQ(pidfd_error(pid), 0);
}

// Runs `look` with the number of a process of the same user that has run `prepare`: in its parent,
// or in a sibling.
enum class Kin { kParent, kSibling };
template <class Prepare, class Look>
void look_at_another(Kin kin, Prepare prepare, Look look) {
  const int status = run_child([&] {
    become_nobody();
    const pid_t pid = plain_child([&] {
      prepare();
      for (;;) pause();
    });
    wait_until_blocked(pid);
    if (kin == Kin::kParent) {
      look(pid);
    } else {
      EXPECT_STATUS(fork_child([&] { look(pid); }), 0);
    }
    kill(pid, SIGKILL);
    EXPECT_STATUS(pid, SIGKILL);
  });
  EXPECT_EQ(status, 0);
}
void nothing() {}

TEST(Yama, ScopeZeroLetsAnybody) {
  set_scope("0");
  look_at_another(Kin::kSibling, nothing, expect_let_in);
}

TEST(Yama, ScopeOneLetsAncestors) {
  set_scope("1");
  look_at_another(Kin::kParent, nothing, expect_let_in);
  look_at_another(Kin::kSibling, nothing, expect_kept_out);
}

TEST(Yama, ScopeOneLetsThosePrivileged) {
  set_scope("1");
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  wait_until_blocked(pid);
  EXPECT_STATUS(fork_child([&] { expect_let_in(pid); }), 0);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(Yama, ATraceeChoosesItsTracers) {
  set_scope("1");
  const auto any = [] { MUST(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)); };
  look_at_another(Kin::kSibling, any, expect_let_in);
  // The parent of both: its descendants may, too.
  const auto parent = [] { MUST(prctl(PR_SET_PTRACER, getppid())); };
  look_at_another(Kin::kSibling, parent, expect_let_in);
  const auto itself = [] { MUST(prctl(PR_SET_PTRACER, getpid())); };
  look_at_another(Kin::kSibling, itself, expect_kept_out);
  const auto nobody_after_all = [] {
    MUST(prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY));
    MUST(prctl(PR_SET_PTRACER, 0));
  };
  look_at_another(Kin::kSibling, nobody_after_all, expect_kept_out);
}

TEST(Yama, ATracerMustExist) {
  set_scope("1");
  EXPECT_ERR(prctl(PR_SET_PTRACER, 0x3fffffff), EINVAL);
}

TEST(Yama, ScopeOneLetsThoseWhoAskForIt) {
  set_scope("1");
  EXPECT_EQ(run_child([] {
              become_nobody();
              const pid_t pid = traced_child([] {});
              raw_ptrace(PTRACE_CONT, pid, 0, 0);
              EXPECT_STATUS(pid, 0);
            }),
            0);
}

TEST(Yama, ScopeTwoTakesTheCapability) {
  set_scope("2");
  look_at_another(Kin::kParent, nothing, expect_kept_out);
  EXPECT_EQ(run_child([] {
              become_nobody();
              EXPECT_STATUS(
                  fork_child([] { EXPECT_ERR(raw_ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM); }), 0);
            }),
            0);
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  wait_until_blocked(pid);
  expect_let_in(pid);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(Yama, TheScopeIsANumberUpToThree) {
  set_scope("0");
  const UniqueFd fd(MUST(open(kScope, O_WRONLY)));
  EXPECT_ERR(write(fd.get(), "4", 1), EINVAL);
  EXPECT_ERR(write(fd.get(), "-1", 2), EINVAL);
  EXPECT_ERR(write(fd.get(), "x", 1), EINVAL);
}

// The last: there is no way back.
TEST(YamaAtLast, ScopeThreeLetsNobodyAndStays) {
  set_scope("3");
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  wait_until_blocked(pid);
  expect_kept_out(pid);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
  EXPECT_STATUS(fork_child([] { EXPECT_ERR(raw_ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM); }), 0);
  const UniqueFd fd(MUST(open(kScope, O_WRONLY)));
  EXPECT_ERR(write(fd.get(), "0", 1), EINVAL);
  EXPECT_EQ(write(fd.get(), "3", 1), 1);
}

}  // namespace
