#include "fs/pipe/pipe.h"

#include <bit>

#include "state/saved.h"

namespace usk {

USK_SAVED(PipePage, "fs/pipe/page")
USK_SAVED(Pipe, "fs/pipe/pipe")

OrFailure<void> Pipe::restored(state::Restored&) {
  Lock lock(mu_);
  if (capacity_ == 0 || capacity_ > kMaxSlots || slots_.size() > kMaxSlots) {
    return fail("a size that cannot be");
  }
  for (const Slot& s : slots_) {
    if (!s.page || s.begin >= s.end || s.end > PipePage::kSize) return fail("a page of nothing");
  }
  return {};
}

void Pipe::count_loaded_end(bool reads, bool writes) {
  Lock lock(mu_);
  ends_.readers += reads;
  ends_.writers += writes;
}

Result<Ref<PipePage>> PipePage::make() {
  Charge charge;
  if (!charge.set(sizeof(PipePage))) return Err(ENOMEM);
  auto page = make_ref<PipePage>();
  page->charge = std::move(charge);
  return page;
}

Result<size_t> Pipe::read(IoOut& dst) {
  if (dst.size() == 0) return 0;
  size_t done = 0;
  bool was_full;
  {
    Lock lock(mu_);
    if (slots_.empty()) {
      if (ends_.writers == 0) return 0;
      return Err(EAGAIN);
    }
    was_full = full_locked();
    while (!slots_.empty() && dst.size() > 0) {
      Slot& slot = slots_.front();
      const size_t want = std::min<size_t>(slot.size(), dst.size());
      auto n = dst.put(std::span(slot.page->bytes).subspan(slot.begin, want));
      if (!n) {
        if (done > 0) break;
        return Err(n.error());
      }
      done += *n;
      slot.begin += *n;
      const bool packet = slot.packet;
      if (slot.begin == slot.end || (packet && *n == want)) {
        if (slot.page->ref_count() == 1) spare_ = std::move(slot.page);
        slots_.pop_front();
      }
      if (*n < want || packet) break;
    }
    was_full &= !full_locked();
  }
  if (was_full) queue_.wake(POLLOUT | POLLWRNORM);
  return done;
}

// Linux: the bytes beyond whole pages go to the last page if it has room for all of them.
Result<size_t> Pipe::top_up_locked(IoIn& src) {
  const size_t odd = src.size() % PipePage::kSize;
  if (odd == 0 || slots_.empty()) return 0;
  Slot& last = slots_.back();
  if (!last.can_merge || last.end + odd > PipePage::kSize) return 0;
  const size_t n = TRY(src.take(std::span(last.page->bytes).subspan(last.end, odd)));
  last.end += n;
  return n;
}

Result<size_t> Pipe::append_page_locked(IoIn& src, bool packet) {
  auto page = spare_ ? std::move(spare_) : TRY(PipePage::make());
  const size_t n = TRY(src.take(page->bytes));
  if (n > 0) slots_.push_back({std::move(page), 0, uint32_t(n), packet, !packet});
  return n;
}

Result<size_t> Pipe::write(IoIn& src, bool packets) {
  if (src.size() == 0) return 0;
  size_t done = 0;
  {
    Lock lock(mu_);
    if (ends_.readers == 0) return Err(EPIPE);
    done = TRY(top_up_locked(src));
    while (src.size() > 0) {
      if (full_locked()) {
        if (done == 0) return Err(EAGAIN);
        break;
      }
      auto n = append_page_locked(src, packets);
      if (!n && done == 0) return Err(n.error());
      if (!n || *n == 0) break;
      done += *n;
    }
  }
  if (done > 0) queue_.wake(POLLIN | POLLRDNORM);
  return done;
}

size_t Pipe::capacity() {
  Lock lock(mu_);
  return capacity_ * PipePage::kSize;
}

Result<size_t> Pipe::set_capacity(size_t bytes, bool privileged) {
  if (bytes > size_t(1) << 31) return Err(EINVAL);
  const size_t pages = (std::max(bytes, PipePage::kSize) + PipePage::kSize - 1) / PipePage::kSize;
  const size_t slots = std::bit_ceil(pages);
  {
    Lock lock(mu_);
    if (slots > capacity_ && slots > kMaxUnprivilegedSlots && !privileged) return Err(EPERM);
    if (slots > kMaxSlots) return Err(ENOMEM);
    if (slots < slots_.size()) return Err(EBUSY);
    capacity_ = slots;
  }
  queue_.wake(POLLOUT | POLLWRNORM);
  return slots * PipePage::kSize;
}

size_t Pipe::readable_bytes() {
  Lock lock(mu_);
  size_t n = 0;
  for (const Slot& slot : slots_) n += slot.size();
  return n;
}

Pipe::Ends Pipe::add_end(bool reads, bool writes) {
  Ends before;
  {
    Lock lock(mu_);
    before = ends_;
    if (reads) ++ends_.readers, ++ends_.readers_ever;
    if (writes) ++ends_.writers, ++ends_.writers_ever;
  }
  queue_.wake(POLLIN | POLLOUT);
  return before;
}

void Pipe::drop_end(bool reads, bool writes) {
  bool one_side_gone;
  {
    Lock lock(mu_);
    if (reads) --ends_.readers;
    if (writes) --ends_.writers;
    one_side_gone = (ends_.readers == 0) != (ends_.writers == 0);
  }
  if (one_side_gone) {
    queue_.wake(POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM | POLLERR | POLLHUP);
  }
}

Pipe::Ends Pipe::ends() {
  Lock lock(mu_);
  return ends_;
}

PollMask Pipe::poll(bool reads, bool writes, uint64_t writers_seen) {
  Lock lock(mu_);
  PollMask mask = 0;
  if (reads) {
    if (!slots_.empty()) mask |= POLLIN | POLLRDNORM;
    if (ends_.writers == 0 && ends_.writers_ever != writers_seen) mask |= POLLHUP;
  }
  if (writes) {
    if (!full_locked()) mask |= POLLOUT | POLLWRNORM;
    if (ends_.readers == 0) mask |= POLLERR;
  }
  return mask;
}

}  // namespace usk
