// How handlers wait: the one place with try, register, look again, park.
#pragma once
#include "kernel/task/task.h"

namespace usk {

namespace wait_internal {
template <class Op, class Register, class GiveUp>
SyscallResult try_or_park(Task& t, Op op, Register register_waiter, GiveUp give_up,
                          bool nonblocking, Deadline until, OnSignal on_signal) {
  auto r = op();
  if (r) return Outcome(*r);
  if (!failed_with(r, EAGAIN) || nonblocking) return std::unexpected(r.error());
  if (t.timed_out()) {
    give_up();
    return std::unexpected(r.error());
  }
  register_waiter();
  r = op();
  if (r) return Outcome(*r);
  if (!failed_with(r, EAGAIN)) return std::unexpected(r.error());
  return Block{until, on_signal};
}
}  // namespace wait_internal

// Runs `op`, which fails with EAGAIN where it would have to wait for `events` of `file`. For a file
// that may block the caller, registers, looks once more (the event may have come in between) and
// parks; a wake-up calls the handler again.
template <class Op>
SyscallResult block_on(Task& t, File& file, PollMask events, Op op, bool nonblocking,
                       Deadline until = {}, OnSignal on_signal = OnSignal::kRestartSys) {
  return wait_internal::try_or_park(
      t, op, [&] { t.waits().add_file(Ref<File>::share(&file), events); },
      [&] { file.wait_ended(); }, nonblocking, until, on_signal);
}

// The same for what is no file: `holder` keeps `queue` alive.
template <class Op>
SyscallResult block_on(Task& t, WaitQueue& queue, Ref<RefCounted> holder, PollMask events, Op op,
                       bool nonblocking, Deadline until = {},
                       OnSignal on_signal = OnSignal::kRestartSys) {
  return wait_internal::try_or_park(
      t, op, [&] { t.waits().add(queue, events, std::move(holder)); }, [] {}, nonblocking, until,
      on_signal);
}

}  // namespace usk
