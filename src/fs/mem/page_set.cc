#include "fs/mem/page_set.h"

#include <algorithm>

namespace usk {

uint64_t PageSet::missing(uint64_t first, uint64_t last) const {
  if (first >= last) return 0;
  uint64_t present = 0;
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin()) --it;
  for (; it != ranges_.end() && it->first < last; ++it) {
    const uint64_t from = std::max(first, it->first), to = std::min(last, it->second);
    if (from < to) present += to - from;
  }
  return last - first - present;
}

void PageSet::add(uint64_t first, uint64_t last) {
  if (first >= last) return;
  count_ += missing(first, last);
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin() && std::prev(it)->second >= first) --it;
  while (it != ranges_.end() && it->first <= last) {
    first = std::min(first, it->first);
    last = std::max(last, it->second);
    it = ranges_.erase(it);
  }
  ranges_.emplace(first, last);
}

uint64_t PageSet::remove(uint64_t first, uint64_t last) {
  if (first >= last) return 0;
  uint64_t removed = 0;
  auto it = ranges_.upper_bound(first);
  if (it != ranges_.begin()) --it;
  while (it != ranges_.end() && it->first < last) {
    const auto [from, to] = *it;
    if (to <= first) {
      ++it;
      continue;
    }
    it = ranges_.erase(it);
    if (from < first) ranges_.emplace(from, first);
    if (to > last) it = ranges_.emplace(last, to).first;
    removed += std::min(to, last) - std::max(from, first);
  }
  count_ -= removed;
  return removed;
}

}  // namespace usk
