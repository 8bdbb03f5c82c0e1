// execve(2), execveat(2).
#include <algorithm>
#include <array>

#include "kernel/kernel.h"
#include "kernel/ptrace/attach.h"
#include "kernel/task/exec.h"
#include "loader/loader.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

// Reads an array that ends nobody knows where, up to the end of a page at a time.
class UserPointers {
 public:
  UserPointers(Task& t, uint64_t array) : task_(t), at_(array) {}

  Result<uint64_t> next() {
    if (i_ == n_) TRY(fetch());
    return read_[i_++];
  }

 private:
  Result<void> fetch() {
    const uint64_t to_page_end = platform::kPageSize - at_ % platform::kPageSize;
    i_ = 0, n_ = std::clamp<uint64_t>(to_page_end / sizeof(uint64_t), 1, read_.size());
    const auto part = std::as_writable_bytes(std::span(read_).first(n_));
    TRY(task_.mem().copy_in(part, at_));
    at_ += part.size();
    return {};
  }

  Task& task_;
  uint64_t at_;
  std::array<uint64_t, 32> read_{};
  size_t i_ = 0, n_ = 0;
};

// A null-terminated array of strings, bounded in all together.
Result<std::vector<std::string>> get_strings(Task& t, uint64_t array, size_t& budget) {
  std::vector<std::string> out;
  if (!array) return out;
  for (UserPointers pointers(t, array);;) {
    const uint64_t addr = TRY(pointers.next());
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
