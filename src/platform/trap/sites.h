// Which places of guest code make how many system calls.
#pragma once
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "platform/counters.h"
#include "platform/platform.h"

namespace usk::platform {

// Counts in two steps: a small cache by address takes each call; what leaves it is added up by file
// and offset. A place gets its name once it was met kNamedAfter times, so that a guest that makes
// calls from ever new places costs no more than a look at the cache each. Both tables are bounded;
// what does not fit is counted together, by the number of the call.
class CallSites {
 public:
  CallSites() : cache_(kCached) {}

  // A call trapped before `ret` in the program `program`, a number that is never used again.
  void trapped(uint64_t program, uint64_t ret, uint32_t nr, const Space::PlaceQuery& where) {
    Entry& e = entry(program, ret, nr);
    e.trapped++;
    if (++e.seen == kNamedAfter) name(e, where);
  }

  // A call came from a patched site. Where from, stands in memory that only the guest's processor
  // has: looking at each would make them slower. True: this one is to be looked at, by patched().
  bool is_sampled() { return --until_sample_ == 0; }
  void patched(uint64_t program, uint64_t ret, uint32_t nr, const Space::PlaceQuery& where);

  // Those with the most calls first.
  std::vector<CallSite> top(size_t most);

  static constexpr size_t kCached = 1024, kRows = 1024, kMaxName = 256;
  static constexpr uint32_t kNamedAfter = 4, kSampleEvery = 16;

 private:
  struct Entry {
    uint64_t program = 0, ret = 0;
    uint32_t nr = 0, seen = 0;
    uint64_t trapped = 0, patched = 0;  // Since it was added to its row.
    int32_t row = -1;                   // In rows_; -1: not named yet.
  };
  using Key = std::tuple<std::string, uint64_t, uint32_t>;  // File, offset or address, call.

  Entry& entry(uint64_t program, uint64_t ret, uint32_t nr) {
    Entry& e = cache_[((ret ^ program << 20) * 0x9e3779b97f4a7c15) >> 54];
    if (e.ret != ret || e.program != program || e.nr != nr) replace(e, program, ret, nr);
    return e;
  }
  void replace(Entry& e, uint64_t program, uint64_t ret, uint32_t nr);
  void name(Entry& e, const Space::PlaceQuery& where);
  void flush(Entry& e);
  // `address` 0: the row of those that are not told apart.
  size_t row_of(Key key, uint64_t address);

  std::vector<Entry> cache_;
  std::vector<CallSite> rows_;
  std::map<Key, size_t> by_key_;
  uint32_t until_sample_ = kSampleEvery;
  uint32_t random_ = 1;
};

}  // namespace usk::platform
