#include "kernel/time/time_page.h"

#include <atomic>
#include <span>

#include "host/file_io.h"
#include "host/random.h"
#include "host/shared_memory.h"

namespace usk {
namespace {

constexpr size_t kSize = 4096;
constexpr int64_t kNsPerSecond = 1'000'000'000;

struct Split {
  int64_t seconds, nanoseconds;
};
Split split(int64_t ns) {
  const int64_t rest = ((ns % kNsPerSecond) + kNsPerSecond) % kNsPerSecond;
  return {(ns - rest) / kNsPerSecond, rest};
}

}  // namespace

TimePage::TimePage() {
  auto file = host::memory_file("usk-time");
  if (!file) return;
  auto at = host::map_shared(file->get(), kSize);
  if (!at) return;
  page_ = reinterpret_cast<usk_time_page*>(*at);
  memory_ = make_ref<HostFd>(std::move(*file));
  // A task that was saved while it read the clock goes on here: with another count than there was
  // it begins again, and does not add our offsets to what the host's clock was before.
  host::fill_random(std::as_writable_bytes(std::span(&page_->sequence, 1)));
  page_->sequence &= ~1u;
}

TimePage::~TimePage() {
  if (page_) host::unmap_shared(reinterpret_cast<std::byte*>(page_), kSize);
}

void TimePage::set_host_function(uint64_t address) {
  if (page_) page_->host_clock_gettime = address;
}

void TimePage::set_offsets(int64_t realtime, int64_t monotonic) {
  if (!page_) return;
  std::atomic_ref sequence(page_->sequence);
  sequence.fetch_add(1);
  const Split r = split(realtime), m = split(monotonic);
  page_->realtime_seconds = r.seconds;
  page_->realtime_nanoseconds = r.nanoseconds;
  page_->monotonic_seconds = m.seconds;
  page_->monotonic_nanoseconds = m.nanoseconds;
  sequence.fetch_add(1);
}

}  // namespace usk
