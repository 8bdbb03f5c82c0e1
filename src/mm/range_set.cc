#include "mm/range_set.h"

#include <algorithm>

namespace usk {

void RangeSet::add(uint64_t start, uint64_t end) {
  if (start >= end) return;
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin() && std::prev(it)->second >= start) --it;
  while (it != ranges_.end() && it->first <= end) {
    start = std::min(start, it->first);
    end = std::max(end, it->second);
    it = ranges_.erase(it);
  }
  ranges_.emplace(start, end);
}

void RangeSet::erase(uint64_t start, uint64_t end) {
  for (const Range& r : within(start, end)) {
    auto it = std::prev(ranges_.upper_bound(r.start));
    const Range whole{it->first, it->second};
    ranges_.erase(it);
    if (whole.start < r.start) ranges_.emplace(whole.start, r.start);
    if (r.end < whole.end) ranges_.emplace(r.end, whole.end);
  }
}

RangeSet::Range RangeSet::first(uint64_t start, uint64_t end) const {
  auto it = ranges_.upper_bound(start);
  if (it != ranges_.begin() && std::prev(it)->second > start) --it;
  if (it == ranges_.end() || it->first >= end) return {end, end};
  return {std::max(start, it->first), std::min(end, it->second)};
}

std::vector<RangeSet::Range> RangeSet::within(uint64_t start, uint64_t end) const {
  std::vector<Range> all;
  for (Range r = first(start, end); r.start < end; r = first(r.end, end)) all.push_back(r);
  return all;
}

}  // namespace usk
