// pipe(2), pipe2(2).
#include "fs/pipe/pipe_file.h"
#include "fs/vfs/guard.h"
#include "syscalls/fd_pair.h"

namespace usk::sys {

SyscallResult pipe2(Task& t, UserPtr<int32_t> fds, CloexecFlags flags) {
  TRY(flags.only(O_CLOEXEC | O_NONBLOCK | O_DIRECT));
  TRY(ask(Category::kCreate, "!pipe"));
  auto [reader, writer] = make_pipe(int(flags.bits), t.creds);
  return install_pair(t, reader, writer, flags.has(O_CLOEXEC), fds);
}

SyscallResult install_pair(Task& t, Ref<File> first, Ref<File> second, bool cloexec,
                           UserPtr<int32_t> fds) {
  std::array<int32_t, 2> numbers{};
  numbers[0] = TRY(t.add_fd(std::move(first), cloexec));
  auto other = t.add_fd(std::move(second), cloexec);
  Result<void> told;
  if (other) {
    numbers[1] = *other;
    told = t.mem().put(UserPtr<std::array<int32_t, 2>>{fds.addr}, numbers);
    if (told) return 0;
    (void)t.fds->remove(numbers[1]);
  }
  (void)t.fds->remove(numbers[0]);
  return std::unexpected(other ? told.error() : other.error());
}

SyscallResult pipe(Task& t, UserPtr<int32_t> fds) { return pipe2(t, fds, {0}); }

}  // namespace usk::sys
