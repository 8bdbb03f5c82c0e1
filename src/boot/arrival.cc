#include "boot/arrival.h"

#include <poll.h>

#include <algorithm>

#include "base/log.h"
#include "host/file.h"
#include "host/poll.h"
#include "host/random.h"

namespace usk {
namespace {

// The board: a word that says how far it is, one that changes with each wish, then a byte for each
// unit that is there, and one for each that is wanted.
constexpr uint64_t kStateAt = 0, kBellAt = 8, kThereAt = 64;
enum State : uint64_t { kWriting, kAll, kOver };

uint64_t units_of(uint64_t size) { return (size + kArrivalUnit - 1) / kArrivalUnit; }

uint64_t word(const HostFd& board, uint64_t at) {
  uint64_t v = 0;
  (void)host::pread(board, std::as_writable_bytes(std::span(&v, 1)), at);
  return v;
}
Result<void> set_word(const HostFd& board, uint64_t at, uint64_t v) {
  TRY(host::pwrite(board, std::as_bytes(std::span(&v, 1)), at));
  return {};
}

}  // namespace

PageDesk::PageDesk(Ref<HostFd> board, const std::vector<PageRun>& runs, uint64_t size)
    : board_(std::move(board)), units_(units_of(size)), there_(units_), wished_(units_) {
  for (const PageRun& run : runs) {
    if (run.length > kArrivalUnit) continue;
    for (uint64_t u = run.at / kArrivalUnit; u * kArrivalUnit < run.at + run.length; u++) {
      if (order_.empty() || order_.back() != u) order_.push_back(u);
    }
  }
  for (uint64_t u = 0; u < units_; u++) order_.push_back(u);
}

PageDesk::~PageDesk() {
  const bool all = std::ranges::all_of(there_, [](bool b) { return b; });
  (void)set_word(*board_, kStateAt, all ? kAll : kOver);
}

void PageDesk::look_at_wishes() {
  const uint64_t bell = word(*board_, kBellAt);
  if (bell == bell_) return;
  bell_ = bell;
  std::vector<uint8_t> wanted(units_);
  (void)host::pread(*board_, std::as_writable_bytes(std::span(wanted)), kThereAt + units_);
  for (uint64_t u = units_; u-- > 0;) {
    if (!wanted[u] || there_[u] || wished_[u]) continue;
    wished_[u] = true;
    order_.push_front(u);
  }
}

std::optional<uint64_t> PageDesk::next() {
  look_at_wishes();
  while (!order_.empty() && there_[order_.front()]) order_.pop_front();
  if (order_.empty()) return std::nullopt;
  return order_.front();
}

OrFailure<void> PageDesk::wrote(uint64_t unit) {
  there_[unit] = true;
  constexpr std::byte kYes{1};
  if (host::pwrite(*board_, std::span(&kYes, 1), kThereAt + unit)) return {};
  return fail("copies of the sandbox cannot be told of their memory");
}

ArrivingPages::ArrivingPages(Ref<HostFd> board, uint64_t size, int writer)
    : board_(std::move(board)), units_(units_of(size)), writer_(writer), there_(units_) {}

bool ArrivingPages::look(uint64_t first, uint64_t end) {
  const auto part = std::span(there_).subspan(first, end - first);
  const auto is_there = [](uint8_t b) { return b != 0; };
  if (std::ranges::all_of(part, is_there)) return true;
  (void)host::pread(*board_, std::as_writable_bytes(part), kThereAt + first);
  return std::ranges::all_of(part, is_there);
}

bool ArrivingPages::has(uint64_t at, uint64_t length) {
  if (all_ || length == 0) return true;
  const uint64_t end = units_of(at + length);
  if (end > units_) return false;
  return look(at / kArrivalUnit, end);
}

// The writer says so, or has ended.
bool ArrivingPages::is_over() {
  const uint64_t state = word(*board_, kStateAt);
  if (state == kWriting) {
    pollfd fd{.fd = writer_, .events = POLLRDHUP, .revents = 0};
    host::poll_ms(std::span(&fd, 1), 0);
    return fd.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL);
  }
  all_ = state == kAll;
  return !all_;
}

void ArrivingPages::wish(uint64_t first, uint64_t end) {
  const std::vector<uint8_t> ones(end - first, 1);
  (void)host::pwrite(*board_, std::as_bytes(std::span(ones)), kThereAt + units_ + first);
  uint64_t bell;
  host::fill_random(std::as_writable_bytes(std::span(&bell, 1)));
  (void)set_word(*board_, kBellAt, bell);
}

Result<void> ArrivingPages::wait_for(uint64_t at, uint64_t length) {
  if (has(at, length)) return {};
  const uint64_t first = at / kArrivalUnit, end = units_of(at + length);
  if (end > units_) return Err(EIO);
  wish(first, end);
  while (!look(first, end)) {
    if (all_) return {};
    if (is_over() && !look(first, end)) {
      LOG_ERROR("the sandbox that this one is a copy of has ended before all memory was copied");
      return Err(EIO);
    }
    constexpr int64_t kWaitNs = 50'000;
    constexpr int kNone = -1;
    (void)host::wait_for_any(std::span(&kNone, 1), host::monotonic_now() + kWaitNs);
  }
  return {};
}

}  // namespace usk
