// The load average: how many tasks run or could run, as proc_loadavg(5) shows it.
#pragma once
#include <array>
#include <cstdint>

#include "base/fields.h"

namespace usk {

// Averages over 1, 5 and 15 minutes, decaying by a step each five seconds. Steps that were missed
// are made up for with the number of tasks that was active meanwhile. Used by one thread.
class LoadAverage {
 public:
  static constexpr int64_t kStepNs = 5'000'000'000;
  bool due(int64_t now_ns) const { return now_ns - last_ns_ >= kStepNs; }
  void update(int64_t now_ns, size_t active);
  const std::array<double, 3>& values() const { return values_; }
  USK_FIELDS(last_ns_, values_)

 private:
  int64_t last_ns_ = 0;
  std::array<double, 3> values_{};
};

}  // namespace usk
