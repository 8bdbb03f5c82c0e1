#include "platform/trap/sites.h"

#include <algorithm>

namespace usk::platform {
namespace {

constexpr uint64_t kCallLength = 2;  // `syscall`
constexpr uint32_t kNoNumber = 512;  // Above every number of a system call.

}  // namespace

void CallSites::patched(uint64_t program, uint64_t ret, uint32_t nr,
                        const Space::PlaceQuery& where) {
  // At uneven distances: a loop over as many calls would else show one of them only.
  random_ ^= random_ << 13, random_ ^= random_ >> 17, random_ ^= random_ << 5;
  until_sample_ = 1 + random_ % (2 * kSampleEvery - 1);
  Entry& e = entry(program, ret, nr);
  e.patched += kSampleEvery;
  if (++e.seen == kNamedAfter) name(e, where);
}

void CallSites::replace(Entry& e, uint64_t program, uint64_t ret, uint32_t nr) {
  flush(e);
  e = {.program = program, .ret = ret, .nr = nr};
}

void CallSites::name(Entry& e, const Space::PlaceQuery& where) {
  const uint64_t address = e.ret - kCallLength;
  Space::Place place;
  if (where) place = where(address);
  if (place.file.size() > kMaxName) place.file.erase(0, place.file.size() - kMaxName);
  // Without a file the address is all that tells it from others.
  if (place.file.empty()) place.offset = address;
  e.row = int32_t(row_of({std::move(place.file), place.offset, e.nr}, address));
}

size_t CallSites::row_of(Key key, uint64_t address) {
  auto& [file, offset, nr] = key;
  if (nr > kNoNumber) nr = kNoNumber;
  if (auto it = by_key_.find(key); it != by_key_.end()) return it->second;
  if (address && rows_.size() >= kRows) return row_of({"", 0, nr}, 0);
  rows_.push_back({.address = address, .file = file, .offset = address ? offset : 0, .nr = nr});
  return by_key_[std::move(key)] = rows_.size() - 1;
}

void CallSites::flush(Entry& e) {
  if (e.trapped + e.patched == 0) return;
  CallSite& row = rows_[e.row >= 0 ? size_t(e.row) : row_of({"", 0, e.nr}, 0)];
  row.trapped += std::exchange(e.trapped, 0);
  row.patched += std::exchange(e.patched, 0);
}

std::vector<CallSite> CallSites::top(size_t most) {
  for (Entry& e : cache_) flush(e);
  std::vector<CallSite> out = rows_;
  std::ranges::sort(out, std::greater(), &CallSite::calls);
  out.resize(std::min(out.size(), most));
  return out;
}

}  // namespace usk::platform
