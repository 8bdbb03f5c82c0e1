// Bytes that go from pipe to pipe without being copied: tee(2), splice(2).
#include "fs/pipe/pipe.h"

namespace usk {

Result<size_t> Pipe::tee_from(Pipe& from, size_t n) { return transfer(from, n, Move::kShare); }
Result<size_t> Pipe::splice_from(Pipe& from, size_t n) { return transfer(from, n, Move::kTake); }

Result<size_t> Pipe::transfer(Pipe& from, size_t n, Move how) {
  if (this == &from) return Err(EINVAL);
  if (n == 0) return 0;
  size_t done;
  {
    LockBoth lock(mu_, from.mu_);
    done = TRY(transfer_locked(from, n, how));
  }
  if (done > 0) {
    queue_.wake(POLLIN | POLLRDNORM);
    if (how == Move::kTake) from.queue_.wake(POLLOUT | POLLWRNORM);
  }
  return done;
}

Result<size_t> Pipe::transfer_locked(Pipe& from, size_t n, Move how) {
  if (ends_.readers == 0) return Err(EPIPE);
  if (from.slots_.empty()) {
    if (from.ends_.writers == 0) return 0;
    return Err(EAGAIN);
  }
  if (full_locked()) return Err(EAGAIN);
  size_t done = 0;
  for (size_t i = 0; done < n && !full_locked();) {
    if (i == from.slots_.size()) break;
    Slot& source = from.slots_[i];
    const uint32_t part = std::min<size_t>(source.size(), n - done);
    const bool whole = part == source.size();
    // The page is shared from here on, so neither pipe may append to it; a part of a packet is
    // no packet (Linux clears the flag of what was cut).
    Slot copy{source.page, source.begin, source.begin + part, source.packet && whole, false};
    source.can_merge = false;
    slots_.push_back(std::move(copy));
    done += part;
    if (how == Move::kShare) {
      ++i;
    } else if (whole) {
      from.slots_.pop_front();
    } else {
      source.begin += part;
    }
  }
  return done;
}

}  // namespace usk
