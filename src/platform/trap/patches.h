// Call sites that no longer trap: their `syscall` has become a jump into the blob.
//
// The jump takes seven bytes, ff 24 e5 and the address of a slot in low memory. A jump of the
// program into the middle of them must still do what it did before:
// - mov $nr, %eax; syscall: the second instruction's place holds the sixth byte of the jump, which
//   is none (06, 07). SIGILL there means: make the call.
// - syscall; cmp $imm32, %rax: the comparison moves to the end of the thunk, its *tail*. Its old
//   place holds e5, `in`, which faults in user code: go on at the tail.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/ref.h"
#include "platform/trap/area_pool.h"

namespace usk::platform {

constexpr size_t kPatchSize = 7;

// What the code of a site is.
struct SiteShape {
  enum Kind {
    kNumber,         // mov $nr, %eax; syscall
    kStackArgument,  // mov 8(%rsp), %r9; syscall: libc's syscall(3), rax set before
    kCompare,        // syscall; cmp $nr, %rax: most of libc's others
  } kind;
  uint32_t nr = 0;
  bool operator==(const SiteShape&) const = default;

  // Where the site begins and where its call goes back to.
  uint64_t site(uint64_t ret) const { return ret - (kind == kCompare ? 2 : kPatchSize); }
  uint64_t ret(uint64_t site) const { return site + (kind == kCompare ? 2 : kPatchSize); }
};
// The shape of the code around the return address of a trapped call, whose rax was `nr`.
std::optional<SiteShape> shape_of(std::span<const std::byte> before,
                                  std::span<const std::byte> after, uint32_t nr);

// The slots and thunks of all address spaces.
class ThunkPool {
 public:
  explicit ThunkPool(AreaPool& areas) : areas_(areas) {}
  // A thunk for the site whose call returns to `ret`. Nothing: all are in use.
  std::optional<uint32_t> make(const SiteShape& shape, uint64_t ret);
  // The address of the tail that such a thunk has; 0: it has none.
  uint64_t tail(uint32_t number) const {
    return number < thunks_.size() ? thunks_[number].tail : 0;
  }
  // The return address that the tail at `addr` stands for. Nothing: it is none.
  std::optional<uint64_t> tail_stands_for(uint64_t addr) const;
  void release(uint32_t number) { free_.push_back(number); }
  // The code that a patched site consists of.
  static std::array<std::byte, kPatchSize> jump(uint32_t number);

 private:
  AreaPool& areas_;
  std::vector<uint32_t> free_;
  struct Thunk {
    uint64_t ret = 0, tail = 0;
  };
  std::vector<Thunk> thunks_{1};  // Number 0 is not used.
};

// How often calls have trapped at a site, of the sites that did so lately.
template <size_t kSites>
class HitCounts {
 public:
  // One more: how often it was, when it is time to look at the site, from `first` times on. Else 0.
  // Again after twice as many: a site that cannot be patched is not looked at each time.
  uint32_t hit(uint64_t ret, uint32_t first) {
    constexpr int kShift = 64 - std::bit_width(kSites - 1);
    Count& c = counts_[(ret * 0x9e3779b97f4a7c15) >> kShift];
    if (c.ret != ret) c = {ret, 0};
    return ++c.hits >= first && std::has_single_bit(c.hits) ? c.hits : 0;
  }

 private:
  static_assert(std::has_single_bit(kSites));
  struct Count {
    uint64_t ret = 0;
    uint32_t hits = 0;
  };
  std::array<Count, kSites> counts_{};
};

// The sites of one program and of its forks, which have the same code at the same places. Whether
// a site is patched in one of their address spaces is what its memory says.
class Patches final : public RefCounted {
 public:
  explicit Patches(ThunkPool& pool) : pool_(pool) {}
  ~Patches() override;
  const uint64_t serial = ++last_serial;  // Of the program: never again another's.

  struct Site {
    SiteShape shape;
    uint32_t thunk;
    std::array<std::byte, kPatchSize> original, patched;
  };
  // A call trapped before `ret`: how often it has, when it is time to look at it. Else 0.
  uint32_t is_hot(uint64_t ret) { return counts_.hit(ret, kHot); }
  // Whether the site has been patched in one of their address spaces.
  bool knows(uint64_t ret) const;
  // The site of `shape` that starts at `addr`, new or known. Null: no thunk is left.
  const Site* add(uint64_t addr, const SiteShape& shape,
                  std::span<const std::byte, kPatchSize> code);
  const Site* find(uint64_t addr) const;
  // The address at which code goes on that is to go on at `addr`, in a space where sites are
  // patched. Nothing: no site is concerned.
  struct Entry {
    uint64_t site, addr;
  };
  std::optional<Entry> entry(uint64_t addr, uint64_t rax) const;
  uint64_t tail(const Site& s) const { return pool_.tail(s.thunk); }
  std::optional<uint64_t> tail_stands_for(uint64_t addr) const {
    return pool_.tail_stands_for(addr);
  }
  // Puts the original code over what was read from `addr` on.
  void hide(uint64_t addr, std::span<std::byte> bytes) const;
  bool touches(uint64_t addr, uint64_t length) const {
    return may_touch(addr, length) && !within(addr, length).empty();
  }
  // Addresses of the sites that [addr, addr + length) touches.
  std::vector<uint64_t> within(uint64_t addr, uint64_t length) const;

 private:
  bool may_touch(uint64_t addr, uint64_t length) const {
    return addr < high_ && addr + length > low_;
  }
  static constexpr uint32_t kHot = 4;

  static inline uint64_t last_serial = 0;
  ThunkPool& pool_;
  std::map<uint64_t, Site> sites_;
  uint64_t low_ = UINT64_MAX, high_ = 0;  // All sites lie between.
  HitCounts<256> counts_;
};

}  // namespace usk::platform
