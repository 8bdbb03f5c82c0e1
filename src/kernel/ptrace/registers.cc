#include "kernel/ptrace/registers.h"

#include <elf.h>

#include <cstring>

#include "arch/x86_64/signal_frame.h"
#include "arch/x86_64/xstate.h"
#include "kernel/ptrace/debug_registers.h"

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

namespace usk {
namespace {

constexpr size_t kWord = sizeof(uint64_t);
constexpr size_t kLegacySize = sizeof(user_fpregs_struct);
// The kernel's struct user has two more words than the library's.
constexpr size_t kUserSize = sizeof(user) + 2 * kWord;
constexpr size_t kDebugOffset = offsetof(user, u_debugreg), kDebugEnd = kDebugOffset + 8 * kWord;

// A segment register may hold the null selector or a user one.
Result<void> check_selector(uint64_t value, bool may_be_null) {
  const uint16_t selector = uint16_t(value);
  if (selector == 0) return may_be_null ? Result<void>() : Err(EIO);
  return (selector & 3) == 3 ? Result<void>() : Err(EIO);
}

Result<void> set_register(Regs& regs, size_t offset, uint64_t value) {
  switch (offset) {
    case offsetof(user_regs_struct, cs):
    case offsetof(user_regs_struct, ss): {
      TRY(check_selector(value, /*may_be_null=*/false));
      // There is no other code and stack segment than the 64-bit one.
      const uint64_t only = offset == offsetof(user_regs_struct, cs) ? kUserCs : kUserSs;
      return uint16_t(value) == only ? Result<void>() : Err(EIO);
    }
    case offsetof(user_regs_struct, ds):
    case offsetof(user_regs_struct, es):
    case offsetof(user_regs_struct, fs):
    case offsetof(user_regs_struct, gs):
      TRY(check_selector(value, /*may_be_null=*/true));
      value = uint16_t(value);
      break;
    case offsetof(user_regs_struct, fs_base):
    case offsetof(user_regs_struct, gs_base):
      if (value >= platform::kGuestEnd) return Err(EIO);
      break;
    case offsetof(user_regs_struct, eflags):
      value = (regs.eflags & ~kUserFlags) | (value & kUserFlags);
      break;
    default: break;
  }
  memcpy(reinterpret_cast<std::byte*>(static_cast<user_regs_struct*>(&regs)) + offset, &value,
         sizeof value);
  return {};
}

// MXCSR bits that the processor does not know would fault when they are loaded.
Result<void> check_mxcsr(std::span<const std::byte> legacy, std::span<const std::byte> current) {
  uint32_t mxcsr, mask;
  memcpy(&mxcsr, legacy.data() + offsetof(user_fpregs_struct, mxcsr), sizeof mxcsr);
  memcpy(&mask, current.data() + offsetof(user_fpregs_struct, mxcr_mask), sizeof mask);
  return mxcsr & ~(mask ? mask : 0xffbf) ? Err(EINVAL) : Result<void>();
}

Result<void> set_legacy_fpu(Task& t, std::span<const std::byte> from) {
  if (from.size() != kLegacySize) return Err(EINVAL);
  auto state = TRY(t.cpu->fpu_state());
  TRY(check_mxcsr(from, state));
  constexpr size_t kSoftware = 464;  // Bytes of the area that are not the processor's.
  memcpy(state.data(), from.data(), kSoftware);
  uint64_t features;
  memcpy(&features, state.data() + kLegacySize, sizeof features);
  features |= 3;  // x87 and SSE are no longer in their initial state.
  memcpy(state.data() + kLegacySize, &features, sizeof features);
  return t.cpu->set_fpu_state(state);
}

Result<void> set_xstate(Task& t, std::span<const std::byte> from) {
  const auto current = TRY(t.cpu->fpu_state());
  if (from.size() != current.size()) return Err(EFAULT);
  std::vector<std::byte> state(from.begin(), from.end());
  TRY(check_mxcsr(from, current));
  if (!prepare_fpu_restore(state, current)) return Err(EINVAL);
  return t.cpu->set_fpu_state(state);
}

}  // namespace

Result<uint64_t> peek_user(Task& t, uint64_t offset) {
  if (offset % kWord || offset >= kUserSize) return Err(EIO);
  uint64_t value = 0;
  if (offset < sizeof(user_regs_struct)) {
    memcpy(
        &value,
        reinterpret_cast<const std::byte*>(static_cast<user_regs_struct*>(&t.cpu->regs())) + offset,
        kWord);
  } else if (offset >= kDebugOffset && offset < kDebugEnd) {
    value = debug_register(t, (offset - kDebugOffset) / kWord);
  }
  return value;
}

Result<void> poke_user(Task& t, uint64_t offset, uint64_t value) {
  if (offset % kWord || offset >= kUserSize) return Err(EIO);
  if (offset < sizeof(user_regs_struct)) return set_register(t.cpu->regs(), offset, value);
  if (offset < kDebugOffset || offset >= kDebugEnd) return Err(EIO);
  return set_debug_register(t, (offset - kDebugOffset) / kWord, value);
}

Result<void> set_general_registers(Task& t, std::span<const std::byte> from) {
  Regs& regs = t.cpu->regs();
  for (size_t at = 0; at + kWord <= from.size(); at += kWord) {
    uint64_t value;
    memcpy(&value, from.data() + at, kWord);
    TRY(set_register(regs, at, value));
  }
  return {};
}

Result<size_t> check_register_set(Task& t, uint64_t type, uint64_t length) {
  size_t size;
  switch (type) {
    case NT_PRSTATUS: size = sizeof(user_regs_struct); break;
    case NT_PRFPREG: size = kLegacySize; break;
    case NT_X86_XSTATE: size = TRY(t.cpu->fpu_state()).size(); break;
    default: return Err(EINVAL);
  }
  const size_t n = std::min<uint64_t>(length, size);
  if (n % kWord) return Err(EINVAL);
  return n;
}

Result<std::vector<std::byte>> get_register_set(Task& t, uint64_t type, uint64_t length) {
  const size_t n = TRY(check_register_set(t, type, length));
  std::vector<std::byte> out;
  if (type == NT_PRSTATUS) {
    const auto bytes = std::as_bytes(std::span<const Regs>(&t.cpu->regs(), 1));
    out.assign(bytes.begin(), bytes.end());
  } else {
    out = TRY(t.cpu->fpu_state());
  }
  out.resize(n);
  return out;
}

Result<void> set_register_set(Task& t, uint64_t type, std::span<const std::byte> from) {
  switch (type) {
    case NT_PRSTATUS: return set_general_registers(t, from);
    case NT_PRFPREG: return set_legacy_fpu(t, from);
    case NT_X86_XSTATE: return set_xstate(t, from);
    default: return Err(EINVAL);
  }
}

}  // namespace usk
