// A set of addresses, as ranges that do not touch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace usk {

class RangeSet {
 public:
  struct Range {
    uint64_t start = 0, end = 0;
    bool operator==(const Range&) const = default;
  };

  bool empty() const { return ranges_.empty(); }
  size_t size() const { return ranges_.size(); }
  void add(uint64_t start, uint64_t end);
  void erase(uint64_t start, uint64_t end);
  // The first part of the set in [start, end); an empty one at `end`: none.
  Range first(uint64_t start, uint64_t end) const;
  // All of it there, in order.
  std::vector<Range> within(uint64_t start, uint64_t end) const;

 private:
  std::map<uint64_t, uint64_t> ranges_;  // End by start.
};

}  // namespace usk
