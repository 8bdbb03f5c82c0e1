#include "host/namespaces.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <sstream>

#include "host/call.h"
#include "host/file.h"
#include "host/open.h"

namespace usk::host {
namespace {

constexpr int kAllButUser = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

Result<void> done(long result) {
  if (result < 0) return Err(errno);
  return {};
}

// What the child works with. It shares all memory, so that making it costs little.
struct Work {
  pid_t parent;
  int namespaces;
  // 0 until it has done what it can; then 1, or a negated errno.
  std::atomic<int32_t> outcome;
  alignas(16) std::array<std::byte, 16384> stack;
};
Work g_work;

// No call of libc's: errno and all else that is a thread's is our parent's, who goes on meanwhile.
long raw_call(long nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0) {
  return detail::make_call(nr, {a, b, c, 0, 0, 0});
}

// Without a stack protector's or sanitizer's help, which would want thread-local data.
__attribute__((no_sanitize("address", "thread", "undefined"))) int make_and_stay(void*) {
  raw_call(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL);
  if (raw_call(SYS_getppid) != g_work.parent) raw_call(SYS_exit, 0);
  const long made = g_work.namespaces ? raw_call(SYS_unshare, uint64_t(g_work.namespaces)) : 0;
  g_work.outcome.store(made < 0 ? int32_t(made) : 1, std::memory_order_release);
  raw_call(SYS_futex, reinterpret_cast<uint64_t>(&g_work.outcome), FUTEX_WAKE, 1);
  for (;;) raw_call(SYS_pause);
}

// All ids that there are, each as itself: the map that this process has, with one side twice.
std::string identity_map(const char* name) {
  std::istringstream own(read_proc(fmt::format("self/{}", name), 1 << 16));
  std::string text;
  uint32_t inside, outside, count;
  while (own >> inside >> outside >> count) {
    text += fmt::format("{} {} {}\n", inside, inside, count);
  }
  return text;
}

Result<void> write_proc(const std::string& path, const std::string& text) {
  const UniqueFd file = TRY(open_proc(path, O_WRONLY));
  return done(guarded(SYS_write, file.get(), text.data(), text.size()));
}

// What the host shows in place of ids that a namespace does not know.
uint32_t overflow_id() {
  const std::string text = read_proc("sys/kernel/overflowuid", 16);
  return text.empty() ? 65534 : uint32_t(strtoul(text.c_str(), nullptr, 10));
}

// All that an ordinary user may map. Whose id stands for the unknown ones gets another, or all
// files would seem to be his.
Result<void> map_own_ids(pid_t child) {
  const uint32_t uid = effective_uid(), unknown = overflow_id();
  const uint32_t inside = uid == unknown ? unknown - 1 : uid;
  TRY(write_proc(fmt::format("{}/uid_map", child), fmt::format("{} {} 1\n", inside, uid)));
  TRY(write_proc(fmt::format("{}/setgroups", child), "deny"));
  const uint32_t gid = effective_gid();
  return write_proc(fmt::format("{}/gid_map", child), fmt::format("{} {} 1\n", gid, gid));
}

Result<void> map_ids(pid_t child) {
  if (!write_proc(fmt::format("{}/uid_map", child), identity_map("uid_map"))) {
    return map_own_ids(child);
  }
  return write_proc(fmt::format("{}/gid_map", child), identity_map("gid_map"));
}

bool is_set(const char* setting, char value) {
  return read_proc(fmt::format("sys/{}", setting), 16).starts_with(value);
}

}  // namespace

Result<std::unique_ptr<NewNamespaces>> NewNamespaces::begin(Separate what) {
  std::unique_ptr<NewNamespaces> made(new NewNamespaces);
  g_work.parent = getpid();
  g_work.namespaces = what == Separate::kAll ? kAllButUser : 0;
  g_work.outcome = 0;
  int pidfd = -1;
  const int child = clone(make_and_stay, g_work.stack.data() + g_work.stack.size(),
                          CLONE_VM | CLONE_NEWUSER | CLONE_PIDFD | SIGCHLD, nullptr, &pidfd);
  if (child < 0) return Err(errno);
  made->child_ = child;
  made->pidfd_ = UniqueFd(pidfd);
  return made;
}

NewNamespaces::~NewNamespaces() {
  if (child_ < 0) return;
  kill(child_, SIGKILL);
  while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// False: it was killed.
bool NewNamespaces::child_is_ready() {
  constexpr timespec kStep{0, 100'000'000};
  while (g_work.outcome.load(std::memory_order_acquire) == 0) {
    syscall(SYS_futex, &g_work.outcome, FUTEX_WAIT, 0, &kStep, nullptr, 0);
    if (waitpid(child_, nullptr, WNOHANG) != child_) continue;
    child_ = -1;
    return false;
  }
  return true;
}

Result<void> NewNamespaces::enter() {
  TRY(map_ids(child_));
  if (!child_is_ready()) return Err(ECHILD);
  if (const int32_t outcome = g_work.outcome; outcome < 0) return Err(-outcome);
  TRY(done(setns(pidfd_.get(), CLONE_NEWUSER | g_work.namespaces)));
  effective_uid_changed();
  return {};
}

Result<void> enter_namespaces() { return done(unshare(kAllButUser)); }

std::string how_to_get_namespaces() {
  if (is_set("user/max_user_namespaces", '0')) return "sysctl user.max_user_namespaces=1000";
  if (is_set("user/max_net_namespaces", '0')) return "sysctl user.max_net_namespaces=1000";
  if (is_set("kernel/unprivileged_userns_clone", '0')) {
    return "sysctl kernel.unprivileged_userns_clone=1";
  }
  if (is_set("kernel/apparmor_restrict_unprivileged_userns", '1')) {
    return "an AppArmor profile for usk that allows userns, or sysctl "
           "kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return "user namespaces (CONFIG_USER_NS); in a container a profile that allows clone, unshare, "
         "setns, mount and pivot_root";
}

}  // namespace usk::host
