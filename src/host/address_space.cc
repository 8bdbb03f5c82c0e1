#include "host/address_space.h"

#include <sys/mman.h>

#include <cerrno>

namespace usk::host {
namespace {

constexpr uint64_t kPage = 4096;
// Of 64-bit processes with page tables of four levels: the last page of the half is not theirs.
constexpr uint64_t kMost = 0x7ffffffff000;
constexpr uint64_t kLeast = uint64_t(1) << 32;

bool may_map(uint64_t addr) {
  void* const wanted = reinterpret_cast<void*>(addr);
  void* const got = mmap(wanted, kPage, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) return errno == EEXIST;
  munmap(got, kPage);
  return true;
}

}  // namespace

uint64_t address_space_end() {
  if (may_map(kMost - kPage)) return kMost;
  uint64_t good = kLeast, bad = kMost - kPage;
  while (bad - good > kPage) {
    const uint64_t middle = (good + (bad - good) / 2) & ~(kPage - 1);
    (may_map(middle) ? good : bad) = middle;
  }
  return bad;
}

}  // namespace usk::host
