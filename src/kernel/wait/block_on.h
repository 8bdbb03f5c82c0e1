// How handlers wait: the one place with try, register, look again, park.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Runs `op`, which fails with EAGAIN where it would have to wait for `events` of `file`. For a file
// that may block the caller, registers, looks once more (the event may have come in between) and
// parks; a wake-up calls the handler again.
template <class Op>
SyscallResult block_on(Task& t, File& file, PollMask events, Op op, bool nonblocking,
                       Deadline until = {}, OnSignal on_signal = OnSignal::kRestartSys) {
  auto r = op();
  if (r) return Outcome(*r);
  if (!failed_with(r, EAGAIN) || nonblocking) return std::unexpected(r.error());
  if (t.timed_out()) {
    file.wait_ended();
    return std::unexpected(r.error());
  }
  t.waits().add_file(Ref<File>::share(&file), events);
  r = op();
  if (r) return Outcome(*r);
  if (!failed_with(r, EAGAIN)) return std::unexpected(r.error());
  return Block{until, on_signal};
}

}  // namespace usk
