#include "platform/trap/patches.h"

#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

namespace usk::platform {
namespace {

constexpr size_t kCompareSize = 6;

// Writes code into a thunk.
class Emitter {
 public:
  Emitter(std::span<std::byte> thunk, uint64_t at) : thunk_(thunk), at_(at) {}
  void bytes(std::initializer_list<uint8_t> b) {
    for (uint8_t v : b) thunk_[size_++] = std::byte(v);
  }
  template <class T>
  void value(T v) {
    memcpy(&thunk_[size_], &v, sizeof v);
    size_ += sizeof v;
  }
  // Of an instruction whose last four bytes are the distance to `target`.
  void distance_to(uint64_t target) { value(int32_t(target - (at_ + size_ + 4))); }
  uint64_t here() const { return at_ + size_; }
  // A short jump's distance, set once its target is known.
  size_t short_distance() {
    bytes({0});
    return size_ - 1;
  }
  void bind(size_t distance) { thunk_[distance] = std::byte(size_ - distance - 1); }
  void word(size_t offset, uint64_t v) { memcpy(&thunk_[offset], &v, sizeof v); }

 private:
  std::span<std::byte> thunk_;
  const uint64_t at_;
  size_t size_ = 0;
};

// The identity that call `nr` asks for.
std::optional<trap::Identity> identity_of(uint32_t nr) {
  switch (nr) {
    case SYS_getpid: return trap::kPid;
    case SYS_gettid: return trap::kTid;
    case SYS_getuid: return trap::kUid;
    case SYS_geteuid: return trap::kEuid;
    case SYS_getgid: return trap::kGid;
    case SYS_getegid: return trap::kEgid;
    default: return std::nullopt;
  }
}

// Adds one to the area's count of answers, free of flags.
void emit_count(Emitter& e) {
  e.bytes({0x65, 0x48, 0x8b, 0x0c, 0x25});  // mov %gs:answered, %rcx
  e.value(uint32_t(USK_O_ANSWERED));
  e.bytes({0x48, 0x8d, 0x49, 0x01});        // lea 1(%rcx), %rcx
  e.bytes({0x65, 0x48, 0x89, 0x0c, 0x25});  // mov %rcx, %gs:answered
  e.value(uint32_t(USK_O_ANSWERED));
}

// Whose gs this is: the area says what it must be. A gs without memory faults here. Returns the
// distance to the slow way.
size_t emit_check(Emitter& e) {
  e.bytes({0xf3, 0x49, 0x0f, 0xae, 0xcb});  // rdgsbase %r11
  e.bytes({0x65, 0x48, 0x8b, 0x0c, 0x25});  // mov %gs:minus_self, %rcx
  e.value(uint32_t(USK_O_MINUS_SELF));
  e.bytes({0x4a, 0x8d, 0x0c, 0x19});  // lea (%rcx,%r11), %rcx
  e.bytes({0xe3, 0x02});              // jrcxz over the next
  e.bytes({0xeb});                    // jmp slow
  return e.short_distance();
}

void emit_answer(Emitter& e, trap::Identity identity, uint64_t at) {
  e.bytes({0x65, 0x8b, 0x0c, 0x25});  // mov %gs:identity, %ecx
  e.value(uint32_t(USK_O_IDENTITY + identity * 4));
  e.bytes({0xe3});  // jrcxz: the kernel process is to be asked
  const size_t to_call = e.short_distance();
  e.bytes({0x8d, 0x41, 0xff});  // lea -1(%rcx), %eax
  emit_count(e);
  e.bytes({0xff, 0x25});  // jmp *return
  e.distance_to(at + USK_THUNK_RETURN);
  e.bind(to_call);
}

// rcx and r11 are free, flags are not. The address of the tail, or 0.
uint64_t emit_thunk(Emitter& e, const SiteShape& shape, uint64_t at, uint64_t ret) {
  if (shape.kind == SiteShape::kNumber) {
    e.bytes({0xb8});  // mov $nr, %eax
    e.value(shape.nr);
  } else if (shape.kind == SiteShape::kStackArgument) {
    e.bytes({0x4c, 0x8b, 0x4c, 0x24, 0x08});  // mov 8(%rsp), %r9
  }
  const size_t to_slow = emit_check(e);
  const auto identity = shape.kind == SiteShape::kNumber ? identity_of(shape.nr) : std::nullopt;
  if (identity) emit_answer(e, *identity, at);
  e.bytes({0x4c, 0x8b, 0x1d});  // mov return(%rip), %r11
  e.distance_to(at + USK_THUNK_RETURN);
  e.bytes({0xe9});  // jmp usk_patched_entry
  e.distance_to(USK_BLOB_PATCHED);
  e.bind(to_slow);
  e.word(USK_THUNK_SLOW, e.here());
  e.bytes({0x0f, 0x05});  // syscall, which traps
  uint64_t tail = 0;
  if (shape.kind == SiteShape::kCompare) {
    tail = e.here();
    e.bytes({0x48, 0x3d});  // cmp $imm32, %rax
    e.value(shape.nr);
    e.bytes({0xff, 0x25});  // jmp *back
    e.distance_to(at + USK_THUNK_BACK);
    e.word(USK_THUNK_BACK, ret + kCompareSize);
  } else {
    e.bytes({0xff, 0x25});  // jmp *return
    e.distance_to(at + USK_THUNK_RETURN);
  }
  e.word(USK_THUNK_TAIL, tail ? tail : at + USK_THUNK_SIZE);
  e.word(USK_THUNK_RETURN, tail ? tail : ret);
  e.word(USK_THUNK_SITE, shape.site(ret));
  return tail;
}

bool ends_with(std::span<const std::byte> code, std::span<const uint8_t> end) {
  return code.size() >= end.size() &&
         memcmp(code.data() + code.size() - end.size(), end.data(), end.size()) == 0;
}

}  // namespace

std::optional<SiteShape> shape_of(std::span<const std::byte> before,
                                  std::span<const std::byte> after, uint32_t nr) {
  static constexpr uint8_t kSyscall[] = {0x0f, 0x05};
  if (!ends_with(before, kSyscall)) return std::nullopt;
  if (before.size() > kPatchSize) {
    const auto* q = reinterpret_cast<const uint8_t*>(before.data() + before.size());
    uint32_t number;
    memcpy(&number, q - 6, sizeof number);
    // 41 b8 and 49 b8 are movs to other registers.
    if (q[-7] == 0xb8 && number == nr && (q[-8] & 0xf0) != 0x40) {
      return SiteShape{SiteShape::kNumber, nr};
    }
  }
  static constexpr uint8_t kStackArgument[] = {0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05};
  if (ends_with(before, kStackArgument)) return SiteShape{SiteShape::kStackArgument, 0};
  if (after.size() >= kCompareSize && after[0] == std::byte(0x48) && after[1] == std::byte(0x3d)) {
    SiteShape s{SiteShape::kCompare, 0};
    memcpy(&s.nr, after.data() + 2, sizeof s.nr);
    return s;
  }
  return std::nullopt;
}

std::optional<uint32_t> ThunkPool::make(const SiteShape& shape, uint64_t ret) {
  uint32_t number;
  if (!free_.empty()) {
    number = free_.back();
    free_.pop_back();
  } else if (thunks_.size() < USK_THUNK_COUNT) {
    number = uint32_t(thunks_.size());
    thunks_.emplace_back();
  } else {
    return std::nullopt;
  }
  const uint64_t at = USK_THUNKS + uint64_t(number) * USK_THUNK_SIZE;
  Emitter e(areas_.thunk(number), at);
  thunks_[number] = {ret, emit_thunk(e, shape, at, ret)};
  areas_.slot(number) = at;
  return number;
}

std::optional<uint64_t> ThunkPool::tail_stands_for(uint64_t addr) const {
  if (addr < USK_THUNKS) return std::nullopt;
  const uint64_t number = (addr - USK_THUNKS) / USK_THUNK_SIZE;
  if (number >= thunks_.size() || thunks_[number].tail != addr) return std::nullopt;
  return thunks_[number].ret;
}

std::array<std::byte, kPatchSize> ThunkPool::jump(uint32_t number) {
  std::array<std::byte, kPatchSize> code{std::byte(0xff), std::byte(0x24), std::byte(0xe5)};
  const uint32_t slot = USK_TABLE + number * 8;
  memcpy(&code[3], &slot, sizeof slot);
  return code;
}

Patches::~Patches() {
  for (auto& [addr, site] : sites_) pool_.release(site.thunk);
}

bool Patches::knows(uint64_t ret) const {
  if (!may_touch(ret - kPatchSize, kPatchSize)) return false;
  const Site *numbered = find(ret - kPatchSize), *compared = find(ret - 2);
  return (numbered && numbered->shape.ret(ret - kPatchSize) == ret) ||
         (compared && compared->shape.ret(ret - 2) == ret);
}

const Patches::Site* Patches::add(uint64_t addr, const SiteShape& shape,
                                  std::span<const std::byte, kPatchSize> code) {
  auto it = sites_.find(addr);
  if (it != sites_.end()) {
    const Site& s = it->second;
    if (s.shape == shape) return &s;
    return nullptr;  // Other code than once was there: it keeps trapping.
  }
  const auto thunk = pool_.make(shape, shape.ret(addr));
  if (!thunk) return nullptr;
  Site s{.shape = shape, .thunk = *thunk, .original = {}, .patched = ThunkPool::jump(*thunk)};
  std::copy(code.begin(), code.end(), s.original.begin());
  low_ = std::min(low_, addr);
  high_ = std::max(high_, addr + kPatchSize);
  return &sites_.emplace(addr, s).first->second;
}

const Patches::Site* Patches::find(uint64_t addr) const {
  auto it = sites_.find(addr);
  return it == sites_.end() ? nullptr : &it->second;
}

std::optional<Patches::Entry> Patches::entry(uint64_t addr, uint64_t rax) const {
  if (!may_touch(addr, 1)) return std::nullopt;
  constexpr uint64_t kCall = kPatchSize - 2;  // Of a site that ends in the call.
  if (const Site* s = find(addr - kCall)) {
    const bool same = s->shape.kind == SiteShape::kStackArgument ||
                      (s->shape.kind == SiteShape::kNumber && s->shape.nr == rax);
    if (same) return Entry{addr - kCall, addr - kCall};
  }
  if (const Site* s = find(addr - 2); s && s->shape.kind == SiteShape::kCompare) {
    return Entry{addr - 2, tail(*s)};
  }
  return std::nullopt;
}

std::vector<uint64_t> Patches::within(uint64_t addr, uint64_t length) const {
  std::vector<uint64_t> out;
  if (!may_touch(addr, length)) return out;
  auto it = sites_.lower_bound(addr < kPatchSize ? 0 : addr - kPatchSize + 1);
  for (; it != sites_.end() && it->first < addr + length; ++it) out.push_back(it->first);
  return out;
}

void Patches::hide(uint64_t addr, std::span<std::byte> bytes) const {
  for (uint64_t at : within(addr, bytes.size())) {
    const Site& s = sites_.at(at);
    const uint64_t from = std::max(at, addr), to = std::min(at + kPatchSize, addr + bytes.size());
    std::byte* seen = bytes.data() + (from - addr);
    const size_t n = to - from;
    if (memcmp(seen, s.patched.data() + (from - at), n) == 0) {
      memcpy(seen, s.original.data() + (from - at), n);
    }
  }
}

}  // namespace usk::platform
