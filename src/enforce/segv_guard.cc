#include "enforce/segv_guard.h"

#include <algorithm>

namespace usk {
namespace {

// Beyond what anybody waits for, and far from overflow.
constexpr uint64_t kMostSeconds = 1'000'000'000;
int64_t nanoseconds(uint64_t seconds) {
  return int64_t(std::min(seconds, kMostSeconds)) * 1'000'000'000;
}

}  // namespace

// A suspended program goes last, and of the others the one whose last crash is longest ago first.
void SegvGuard::make_room(int64_t now) {
  if (programs_.size() < kMostPrograms) return;
  const auto order = [now](const auto& p) {
    const int64_t last = p.second.crashes.empty() ? 0 : p.second.crashes.back();
    return std::pair(p.second.suspended_until > now, last);
  };
  programs_.erase(std::ranges::min_element(programs_, {}, order));
}

bool SegvGuard::crashed(const std::string& program, int64_t now, const Limits& limits) {
  if (limits.expiry_s == 0) return false;
  if (!programs_.contains(program)) make_room(now);
  Record& r = programs_[program];
  std::erase_if(r.crashes, [&](int64_t t) { return now - t > nanoseconds(limits.expiry_s); });
  r.crashes.push_back(now);
  if (r.crashes.size() < std::clamp<uint64_t>(limits.most, 1, kMostCrashes)) return false;
  r.crashes.clear();
  r.suspended_until = now + nanoseconds(limits.suspension_s);
  return true;
}

bool SegvGuard::is_suspended(const std::string& program, int64_t now) {
  const auto it = programs_.find(program);
  if (it == programs_.end()) return false;
  if (it->second.suspended_until > now) return true;
  if (it->second.crashes.empty()) programs_.erase(it);
  return false;
}

}  // namespace usk
