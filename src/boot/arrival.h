// Pages of an image that copies of a sandbox run on while they are still being written
// (docs/decisions/0019). Writer and readers hold one file, the board: what is there, and what is
// wanted first.
#pragma once
#include <deque>
#include <optional>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"
#include "mm/page_source.h"
#include "mm/snapshot.h"

namespace usk {

// The part of an image that holds memory, in units of this size: what is said and wished of it.
constexpr uint64_t kArrivalUnit = PageSource::kUnit;

// The writer's side.
class PageDesk {
 public:
  // `runs` lie in the part one behind the other, up to `size`. Short ones are written first: a copy
  // needs them before it can run.
  PageDesk(Ref<HostFd> board, const std::vector<PageRun>& runs, uint64_t size);
  // Readers wait no longer for what is not there.
  ~PageDesk();
  // What to write next; nothing: all is there.
  std::optional<uint64_t> next();
  bool has(uint64_t unit) const { return there_[unit]; }
  // This unit is there.
  OrFailure<void> wrote(uint64_t unit);

 private:
  void look_at_wishes();

  const Ref<HostFd> board_;
  const uint64_t units_;
  std::vector<bool> there_, wished_;  // Each wish counts once, however often it is made.
  std::deque<uint64_t> order_;        // Each unit at least once.
  uint64_t bell_ = 0;
};

// A reader's side.
class ArrivingPages final : public PageSource {
 public:
  // `writer`: a connection to it, which ends when it does.
  ArrivingPages(Ref<HostFd> board, uint64_t size, int writer);
  bool has(uint64_t at, uint64_t length) override;
  Result<void> wait_for(uint64_t at, uint64_t length) override;

 private:
  bool look(uint64_t first, uint64_t end);
  bool is_over();
  void wish(uint64_t first, uint64_t end);

  const Ref<HostFd> board_;
  const uint64_t units_;
  const int writer_;
  bool all_ = false;
  std::vector<uint8_t> there_;  // As last seen.
};

}  // namespace usk
