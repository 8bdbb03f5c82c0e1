// The buffer between the ends of a pipe or FIFO: pipe(7).
#pragma once
#include <array>
#include <deque>

#include "base/budget.h"
#include "base/failure.h"
#include "base/fields.h"
#include "base/io.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"

namespace usk {

// A page of bytes in a pipe. Shared by pipes after tee(2), and then no longer appended to.
struct PipePage final : RefCounted {
  static constexpr size_t kSize = 4096;
  // ENOMEM when the kernel's memory budget is used up.
  static Result<Ref<PipePage>> make();
  std::array<std::byte, kSize> bytes;
  Charge charge;
  USK_FIELDS(bytes, charge)
};

// A ring of page-sized slots, filled as Linux fills them: a write first tops up the last page if
// all of its odd bytes fit there, then takes a slot for each page. Hence writes of at most
// PIPE_BUF bytes go in whole or not at all, and 64 KB fit exactly.
//
// Invariant: no slot is empty, and their number is at most capacity_, except after the capacity
// was lowered below what tee() or a write had filled, which set_capacity() refuses.
class Pipe final : public RefCounted {
 public:
  static constexpr size_t kDefaultSlots = 16;
  static constexpr size_t kMaxUnprivilegedSlots = 256;  // /proc/sys/fs/pipe-max-size: 1 MiB
  static constexpr size_t kMaxSlots = 1u << 15;         // 128 MiB, whoever asks.

  struct Slot {
    Ref<PipePage> page;
    uint32_t begin = 0, end = 0;  // The bytes of the page that are still to be read.
    bool packet = false;          // O_DIRECT: a read takes all of it or loses the rest.
    bool can_merge = false;       // A write may append to the page.
    USK_FIELDS(page, begin, end, packet, can_merge)
    uint32_t size() const { return end - begin; }
  };

  // Bytes from the front. 0 at the end of file, EAGAIN while writers may still come.
  Result<size_t> read(IoOut& dst) EXCLUDES(mu_);
  // EPIPE without readers, EAGAIN when nothing fits. With `packets` each page is a packet.
  Result<size_t> write(IoIn& src, bool packets) EXCLUDES(mu_);
  // tee(2): up to `n` bytes that `from` holds are also put here, sharing pages. EAGAIN when
  // `from` is empty or this is full; 0 when `from` is at its end.
  Result<size_t> tee_from(Pipe& from, size_t n);
  // splice(2) between pipes: as tee_from(), but takes the bytes out of `from`.
  Result<size_t> splice_from(Pipe& from, size_t n);

  // F_GETPIPE_SZ and F_SETPIPE_SZ: rounded up to a power of two pages. EBUSY when more is in it.
  size_t capacity() EXCLUDES(mu_);
  Result<size_t> set_capacity(size_t bytes, bool privileged) EXCLUDES(mu_);
  // FIONREAD
  size_t readable_bytes() EXCLUDES(mu_);

  // Ends. A reader's hang-up shows only if a writer came after `writers_seen` (poll(2) on a FIFO
  // opened without a writer).
  struct Ends {
    uint32_t readers = 0, writers = 0;
    uint64_t readers_ever = 0, writers_ever = 0;
    USK_FIELDS(readers_ever, writers_ever)  // The files count themselves again.
  };
  // Returns the ends before this one.
  Ends add_end(bool reads, bool writes) EXCLUDES(mu_);
  void drop_end(bool reads, bool writes) EXCLUDES(mu_);
  // An end that was counted before the pipe was saved.
  void count_loaded_end(bool reads, bool writes) EXCLUDES(mu_);
  Ends ends() EXCLUDES(mu_);
  PollMask poll(bool reads, bool writes, uint64_t writers_seen) EXCLUDES(mu_);
  WaitQueue& queue() { return queue_; }

  USK_FIELDS(slots_, capacity_, ends_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  enum class Move { kShare, kTake };
  Result<size_t> transfer(Pipe& from, size_t n, Move how);
  Result<size_t> transfer_locked(Pipe& from, size_t n, Move how) REQUIRES(mu_, from.mu_);
  bool full_locked() const REQUIRES(mu_) { return slots_.size() >= capacity_; }
  Result<size_t> top_up_locked(IoIn& src) REQUIRES(mu_);
  Result<size_t> append_page_locked(IoIn& src, bool packet) REQUIRES(mu_);

  Mutex<Rank::kFile> mu_;
  std::deque<Slot> slots_ GUARDED_BY(mu_);
  Ref<PipePage> spare_ GUARDED_BY(mu_);  // The last one that was read empty, for the next write.
  size_t capacity_ GUARDED_BY(mu_) = kDefaultSlots;  // In slots.
  Ends ends_ GUARDED_BY(mu_);
  WaitQueue queue_;
};

}  // namespace usk
