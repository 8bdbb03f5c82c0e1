// execve(2), execveat(2).
#include "kernel/task/exec.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "loader/loader.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

// A null-terminated array of strings, bounded in all together.
Result<std::vector<std::string>> get_strings(Task& t, uint64_t array, size_t& budget) {
  std::vector<std::string> out;
  if (!array) return out;
  for (uint64_t at = array;; at += sizeof(uint64_t)) {
    const uint64_t addr = TRY(t.mem().get(UserPtr<const uint64_t>{at}));
    if (!addr) return out;
    std::string s = TRY(t.mem().get_string({addr}, kMaxArgLength - 1, E2BIG));
    const size_t cost = s.size() + 1 + sizeof(uint64_t);
    if (cost > budget) return Err(E2BIG);
    budget -= cost;
    out.push_back(std::move(s));
  }
}

SyscallResult exec(Task& t, Path file, std::string name, uint64_t argv, uint64_t envp,
                   bool by_cloexec_fd = false) {
  LoadRequest q;
  size_t budget = kMaxArgTotal;
  q.argv = TRY(get_strings(t, argv, budget));
  q.envp = TRY(get_strings(t, envp, budget));
  q.file = std::move(file);
  q.name = std::move(name);
  q.walk = t.walk_context();
  q.creds = t.creds;
  q.by_cloexec_fd = by_cloexec_fd;
  {
    Lock lock(task_mutex);
    q.traced = !tracer_may_gain(t);
  }
  q.personality = t.personality;
  q.limits = t.memory_limits();
  return begin_exec(t, TRY(load_program(t.kernel, std::move(q))));
}

}  // namespace

SyscallResult execve(Task& t, UserPath path, uint64_t argv, uint64_t envp) {
  const std::string name = TRY(t.mem().get_path(path));
  Path file = TRY(walk(t.walk_context(), t.fs->cwd(), name, kFollow));
  return exec(t, std::move(file), name, argv, envp);
}

SyscallResult execveat(Task& t, DirFd dir, UserPath path, uint64_t argv, uint64_t envp,
                       AtFlags flags) {
  TRY(flags.only(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
  const std::string name = TRY(t.mem().get_path(path));
  const uint32_t walk_flags = (flags.has(AT_SYMLINK_NOFOLLOW) ? 0u : uint32_t(kFollow)) |
                              (flags.has(AT_EMPTY_PATH) ? uint32_t(kEmptyPath) : 0u);
  const Path at = name.starts_with('/') ? t.fs->cwd() : TRY(t.at(dir.n));
  Path file = TRY(walk(t.walk_context(), at, name, walk_flags));
  std::string shown = name;
  if (dir.n != AT_FDCWD && !name.starts_with('/')) {
    shown = "/dev/fd/" + std::to_string(dir.n) + (name.empty() ? "" : "/" + name);
  }
  bool cloexec = false;
  if (shown != name) {
    auto slot = t.fds->get_slot(dir.n);
    cloexec = slot && slot->cloexec;
  }
  return exec(t, std::move(file), shown, argv, envp, cloexec);
}

}  // namespace usk::sys
