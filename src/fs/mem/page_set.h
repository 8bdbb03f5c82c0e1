// A set of page numbers, kept as ranges.
#pragma once
#include <cstdint>
#include <map>

#include "base/fields.h"

namespace usk {

class PageSet {
 public:
  // Number of pages of [first, last) that are not in the set.
  uint64_t missing(uint64_t first, uint64_t last) const;
  void add(uint64_t first, uint64_t last);
  // Number of pages it took out.
  uint64_t remove(uint64_t first, uint64_t last);
  uint64_t count() const { return count_; }
  USK_FIELDS(ranges_, count_)

 private:
  std::map<uint64_t, uint64_t> ranges_;  // first -> last (not included), disjoint, not touching.
  uint64_t count_ = 0;
};

}  // namespace usk
