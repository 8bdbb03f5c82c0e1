// Where PTRACE_EVENT_SECCOMP comes among the stops of a call: after the syscall-enter-stop since
// Linux 4.8, before it from 3.5 to 4.7. The tests find out which it is and hold it to that.
#include "tests/guest/seccomp_filters.h"
#include "tests/guest/tracing.h"

namespace {

using namespace guest;

enum Request { kCont = PTRACE_CONT, kCalls = PTRACE_SYSCALL, kEmulate = PTRACE_SYSEMU };

struct Step {
  Request request;
  long make = 0;  // The number that the call gets once the step's stop has come; -1: skipped.
};

std::string describe_call(pid_t pid, int status) {
  const auto nr = static_cast<long>(get_regs(pid).orig_rax);
  const std::string number = nr == SYS_getppid  ? "getppid"
                             : nr == SYS_getsid ? "getsid"
                             : nr == -1         ? "none"
                                                : "other";
  if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) return "event:" + number;
  __ptrace_syscall_info info = {};
  raw_ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
  return (info.op == PTRACE_SYSCALL_INFO_ENTRY ? "enter:" : "exit:") + number;
}

// The stops of a child that calls getppid, and what the call gave.
std::string trail(const std::vector<Step>& steps) {
  const Filter filter = {load(0),
                         if_equal(SYS_getppid, 0, 1),
                         verdict(SECCOMP_RET_TRACE),
                         if_equal(SYS_getsid, 0, 1),
                         verdict(SECCOMP_RET_ERRNO | 42),
                         verdict(SECCOMP_RET_ALLOW)};
  const pid_t pid = traced_child(
      [&] {
        confine(filter);
        raise(SIGSTOP);
        const long result = syscall(SYS_getppid, 0);
        _exit(result == -1 ? errno : static_cast<int>(result & 0xf));
      },
      PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  std::string out;
  for (const Step& step : steps) {
    raw_ptrace(step.request, pid, 0, 0);
    const int status = next_status(pid);
    if (!WIFSTOPPED(status)) return out + "gone";
    out += describe_call(pid, status) + " ";
    if (step.make == 0) continue;
    user_regs_struct r = get_regs(pid);
    r.orig_rax = static_cast<unsigned long>(step.make);
    r.rax = 5;
    set_regs(pid, r);
  }
  for (;;) {
    raw_ptrace(PTRACE_CONT, pid, 0, 0);
    const int status = next_status(pid);
    if (!WIFSTOPPED(status)) return out + std::to_string(WEXITSTATUS(status));
    out += describe_call(pid, status) + " ";
  }
}

bool is_new() {
  static const bool value = trail({{kCalls}}).starts_with("enter");
  return value;
}

#define EXPECT_TRAIL(of_new, of_old, ...) \
  EXPECT_EQ(trail(std::vector<Step>{__VA_ARGS__}), std::string(is_new() ? of_new : of_old))

std::string parent() { return std::to_string(getpid() & 0xf); }

TEST(SeccompOrder, AllStops) {
  EXPECT_TRAIL("enter:getppid event:getppid exit:getppid " + parent(),
               "event:getppid enter:getppid exit:getppid " + parent(), {kCalls}, {kCalls},
               {kCalls});
}

TEST(SeccompOrder, FromTheEventOn) {
  EXPECT_TRAIL("event:getppid exit:getppid " + parent(), "event:getppid enter:getppid " + parent(),
               {kCont}, {kCalls});
}

TEST(SeccompOrder, EmulatedCalls) {
  // The result is what stands in the register before a call is made.
  EXPECT_TRAIL("enter:getppid " + std::to_string(ENOSYS), "event:getppid " + parent(), {kEmulate});
  if (is_new()) return;
  EXPECT_TRAIL("", "event:getppid enter:getppid " + std::to_string(ENOSYS), {kEmulate}, {kEmulate});
}

TEST(SeccompOrder, EmulationFromTheEventOn) {
  EXPECT_TRAIL("event:getppid enter:other " + parent(),
               "event:getppid enter:getppid " + std::to_string(ENOSYS), {kCont}, {kEmulate});
}

TEST(SeccompOrder, SkippedAtTheEvent) {
  EXPECT_TRAIL("event:getppid exit:none 5", "event:getppid exit:none 5", {kCont, -1}, {kCalls});
}

TEST(SeccompOrder, ChangedAtTheEvent) {
  // Judged again, or seen by the enter-stop and made.
  EXPECT_TRAIL("event:getppid exit:getsid 42",
               "event:getppid enter:getsid " + std::to_string(getsid(0) & 0xf), {kCont, SYS_getsid},
               {kCalls});
}

}  // namespace
