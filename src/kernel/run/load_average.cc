#include "kernel/run/load_average.h"

namespace usk {
namespace {

// What is left of a value after one step: e to the power of -5 s / (1, 5, 15 min).
constexpr double kDecay[] = {0.9200444146293233, 0.9834714538216175, 0.9944598480048967};

double power(double base, int64_t exponent) {
  double result = 1;
  for (; exponent > 0; exponent /= 2, base *= base) {
    if (exponent % 2) result *= base;
  }
  return result;
}

}  // namespace

void LoadAverage::update(int64_t now_ns, size_t active) {
  if (last_ns_ == 0) last_ns_ = now_ns;
  const int64_t steps = (now_ns - last_ns_) / kStepNs;
  if (steps <= 0) return;
  last_ns_ += steps * kStepNs;
  for (size_t i = 0; i < values_.size(); i++) {
    const double keep = power(kDecay[i], steps);
    values_[i] = values_[i] * keep + double(active) * (1 - keep);
  }
}

}  // namespace usk
