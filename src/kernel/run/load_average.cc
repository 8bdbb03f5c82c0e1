#include "kernel/run/load_average.h"

#include <cmath>

namespace usk {

void LoadAverage::update(int64_t now_ns, size_t active) {
  if (last_ns_ == 0) last_ns_ = now_ns;
  const int64_t steps = (now_ns - last_ns_) / kStepNs;
  if (steps <= 0) return;
  last_ns_ += steps * kStepNs;
  constexpr double kMinutes[] = {1, 5, 15};
  for (size_t i = 0; i < values_.size(); i++) {
    const double keep = std::exp(-double(steps) * 5 / (60 * kMinutes[i]));
    values_[i] = values_[i] * keep + double(active) * (1 - keep);
  }
}

}  // namespace usk
