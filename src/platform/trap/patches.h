// Call sites that no longer trap: their `syscall` has become a jump into the blob.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/ref.h"
#include "platform/trap/area_pool.h"

namespace usk::platform {

constexpr size_t kPatchSize = 7;

// Seven bytes of code that end in `syscall`, and what they mean.
struct SiteShape {
  enum Kind {
    kNumber,        // mov $nr, %eax; syscall
    kStackArgument  // mov 8(%rsp), %r9; syscall: libc's syscall(3), rax set before
  } kind;
  uint32_t nr = 0;
};
// The shape of the code before `ret`, where the trapped call's rax was `nr`; `code` ends there.
std::optional<SiteShape> shape_of(std::span<const std::byte> code, uint32_t nr);

// The slots and thunks of all address spaces.
class ThunkPool {
 public:
  explicit ThunkPool(AreaPool& areas) : areas_(areas) {}
  // A thunk for the site that ends at `ret`. Nothing: all are in use.
  std::optional<uint32_t> make(const SiteShape& shape, uint64_t ret);
  void release(uint32_t number) { free_.push_back(number); }
  // The code that a patched site consists of.
  static std::array<std::byte, kPatchSize> jump(uint32_t number);

 private:
  AreaPool& areas_;
  std::vector<uint32_t> free_;
  uint32_t next_ = 1;  // A jump to slot 0 would have a low byte of zero; it stays unused.
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
  // A call trapped before `ret`. True once it has come often enough to be worth a patch.
  bool is_hot(uint64_t ret);
  // The site of `shape` that starts at `addr`, new or known. Null: no thunk is left.
  const Site* add(uint64_t addr, const SiteShape& shape,
                  std::span<const std::byte, kPatchSize> code);
  const Site* find(uint64_t addr) const;
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
  struct Counter {
    uint64_t ret = 0;
    uint32_t hits = 0;
  };

  static inline uint64_t last_serial = 0;
  ThunkPool& pool_;
  std::map<uint64_t, Site> sites_;
  uint64_t low_ = UINT64_MAX, high_ = 0;  // All sites lie between.
  std::array<Counter, 256> counters_{};
};

}  // namespace usk::platform
