// signalfd(2).
#include "fs/vfs/guard.h"
#include "kernel/signal/signal_file.h"
#include "syscalls/signal_mask.h"

namespace usk::sys {

SyscallResult signalfd4(Task& t, Fd fd, UserPtr<const uint64_t> mask, uint64_t size,
                        CloexecFlags flags) {
  TRY(flags.only(O_CLOEXEC | O_NONBLOCK));
  const SignalSet set = TRY(get_sigset(t, mask, size)) & ~kUnblockable;
  if (fd.n == -1) {
    TRY(ask(Category::kCreate, "!signalfd"));
    auto file = make_ref<SignalFile>(t, set, flags.has(O_NONBLOCK));
    return TRY(t.add_fd(file, flags.has(O_CLOEXEC)));
  }
  auto file = ref_cast<SignalFile>(TRY(t.file(fd.n)));
  if (!file) return Err(EINVAL);
  file->set_mask(set);
  return fd.n;
}

SyscallResult signalfd(Task& t, Fd fd, UserPtr<const uint64_t> mask, uint64_t size) {
  return signalfd4(t, fd, mask, size, {0});
}

}  // namespace usk::sys
