// pipe(2), pipe2(2).
#include "fs/pipe/pipe_file.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult pipe2(Task& t, UserPtr<int32_t> fds, CloexecFlags flags) {
  TRY(flags.only(O_CLOEXEC | O_NONBLOCK | O_DIRECT));
  const bool cloexec = flags.has(O_CLOEXEC);
  auto [reader, writer] = make_pipe(int(flags.bits), t.creds);
  std::array<int32_t, 2> numbers{};
  numbers[0] = TRY(t.add_fd(reader, cloexec));
  auto second = t.add_fd(writer, cloexec);
  Result<void> told;
  if (second) {
    numbers[1] = *second;
    told = t.mem().put(UserPtr<std::array<int32_t, 2>>{fds.addr}, numbers);
    if (told) return 0;
    (void)t.fds->remove(numbers[1]);
  }
  (void)t.fds->remove(numbers[0]);
  return std::unexpected(second ? told.error() : second.error());
}

SyscallResult pipe(Task& t, UserPtr<int32_t> fds) { return pipe2(t, fds, {0}); }

}  // namespace usk::sys
