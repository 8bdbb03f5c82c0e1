// Stub processes that no address space knows.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace usk::platform {

// A guest that has got hold of its stub can let an ordered fork come to be and say that it failed,
// or never let the child tell of itself. Such a child is an ordinary child process of ours, which
// nobody would end. So after a fork that failed, children that are stubs and known to nobody are
// killed: at once, and for a while, since the forking thread may have been delayed.
class Strays {
 public:
  // A fork has failed.
  void suspect(int64_t now) { next_ = now, end_ = now + kWatchNs; }
  // When to look next; INT64_MAX: never.
  int64_t next() const { return next_; }
  // Kills what `is_known` does not know.
  void look(int64_t now, const std::function<bool(pid_t)>& is_known);

 private:
  static constexpr int64_t kWatchNs = 2'000'000'000, kEveryNs = 50'000'000;
  int64_t next_ = INT64_MAX, end_ = 0;
};

}  // namespace usk::platform
