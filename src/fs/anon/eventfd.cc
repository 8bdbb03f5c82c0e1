#include "fs/anon/eventfd.h"

#include <fmt/format.h>

#include "base/id_counter.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

int next_eventfd_id() {
  static IdCounter ids("eventfd", 0);
  return int(ids.next() & INT32_MAX);
}

}  // namespace

USK_SAVED(EventFd, "fs/anon/eventfd")

EventFd::EventFd(uint64_t count, bool semaphore, int flags, Ref<const Creds> creds)
    : AnonFile("[eventfd]", O_RDWR | (flags & O_NONBLOCK), std::move(creds)),
      semaphore_(semaphore),
      id_(next_eventfd_id()),
      count_(count) {}

Result<size_t> EventFd::read(IoOut& dst, uint64_t&) {
  if (dst.size() < sizeof count_) return Err(EINVAL);
  uint64_t value;
  {
    Lock lock(mu_);
    if (count_ == 0) return Err(EAGAIN);
    value = semaphore_ ? 1 : count_;
    count_ -= value;
  }
  queue().wake(POLLOUT);
  // Linux: the count is lost as well when the copy faults.
  if (TRY(dst.put_object(value)) != sizeof value) return Err(EFAULT);
  return sizeof value;
}

Result<size_t> EventFd::write(IoIn& src, uint64_t&) {
  if (src.size() != sizeof count_) return Err(EINVAL);  // Linux: since 6.x, exactly.
  const auto add = TRY(src.take_object<uint64_t>());
  if (add == UINT64_MAX) return Err(EINVAL);
  {
    Lock lock(mu_);
    if (add >= UINT64_MAX - count_) return Err(EAGAIN);
    count_ += add;
  }
  queue().wake(POLLIN);
  return sizeof add;
}

void EventFd::signal(uint64_t n) {
  {
    Lock lock(mu_);
    count_ += std::min(n, UINT64_MAX - count_);
  }
  queue().wake(POLLIN);
}

PollMask EventFd::poll() {
  Lock lock(mu_);
  if (count_ == UINT64_MAX) return POLLIN | POLLERR;
  return (count_ > 0 ? POLLIN : 0) | (count_ < UINT64_MAX - 1 ? POLLOUT : 0);
}

std::string EventFd::fdinfo() const {
  Lock lock(mu_);
  return fmt::format("eventfd-count: {:16x}\neventfd-id: {}\neventfd-semaphore: {}\n", count_, id_,
                     int(semaphore_));
}

}  // namespace usk
