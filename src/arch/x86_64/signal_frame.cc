#include "arch/x86_64/signal_frame.h"

#include <algorithm>
#include <cstring>

namespace usk {
namespace {

// Software-reserved bytes of the legacy area (struct _fpx_sw_bytes).
constexpr size_t kSoftwareOffset = 464, kXsaveHeader = 512;
constexpr uint32_t kMagic1 = 0x46505853, kMagic2 = 0x46505845;
constexpr size_t kMagic2Size = 4;
struct SoftwareBytes {
  uint32_t magic1, extended_size;
  uint64_t features;
  uint32_t xstate_size, padding[7];
};
static_assert(sizeof(SoftwareBytes) == 48);

constexpr uint64_t kUcFpXstate = 1, kUcSigcontextSs = 2, kUcStrictRestoreSs = 4;
constexpr uint64_t kRedZone = 128;

void save_regs(SignalContext& m, const Regs& r) {
  m.r8 = r.r8, m.r9 = r.r9, m.r10 = r.r10, m.r11 = r.r11;
  m.r12 = r.r12, m.r13 = r.r13, m.r14 = r.r14, m.r15 = r.r15;
  m.rdi = r.rdi, m.rsi = r.rsi, m.rbp = r.rbp, m.rbx = r.rbx;
  m.rdx = r.rdx, m.rax = r.rax, m.rcx = r.rcx, m.rsp = r.rsp;
  m.rip = r.rip, m.eflags = r.eflags;
  m.cs = uint16_t(r.cs), m.gs = 0, m.fs = 0, m.ss = uint16_t(r.ss);
}

}  // namespace

size_t frame_fpu_size(size_t size) { return size ? size + kMagic2Size : 0; }

void make_frame_fpu(std::vector<std::byte>& state) {
  const size_t size = state.size();
  SoftwareBytes sw{};
  // The host's ptrace keeps the mask of enabled features where these bytes go.
  memcpy(&sw.features, state.data() + kSoftwareOffset, sizeof sw.features);
  sw.magic1 = kMagic1;
  sw.xstate_size = uint32_t(size);
  sw.extended_size = uint32_t(frame_fpu_size(size));
  memcpy(state.data() + kSoftwareOffset, &sw, sizeof sw);
  state.resize(frame_fpu_size(size));
  memcpy(state.data() + size, &kMagic2, sizeof kMagic2);
}

BuiltFrame build_frame(const FrameRequest& q, const Regs& regs) {
  const uint64_t sp = q.stack_top ? q.stack_top : regs.rsp - kRedZone;
  BuiltFrame out;
  out.fpu_addr = (sp - q.fpu_size) & ~uint64_t(63);
  out.addr = ((out.fpu_addr - sizeof(SignalFrame)) & ~uint64_t(15)) - 8;

  SignalFrame& f = out.frame;
  memset(&f, 0, sizeof f);
  f.return_address = q.restorer;
  f.context = q.context;
  f.context.flags = kUcSigcontextSs | kUcStrictRestoreSs | (q.fpu_size ? kUcFpXstate : 0);
  f.context.link = 0;
  save_regs(f.context.mcontext, regs);
  f.context.mcontext.err = q.err;
  f.context.mcontext.trapno = q.trapno;
  f.context.mcontext.cr2 = q.cr2;
  f.context.mcontext.oldmask = q.context.mask;
  f.context.mcontext.fpstate = q.fpu_size ? out.fpu_addr : 0;
  f.info = q.info;
  return out;
}

void enter_handler(Regs& r, const BuiltFrame& frame, const FrameRequest& q) {
  r.rsp = frame.addr;
  r.rip = q.handler;
  r.rdi = uint64_t(q.info.si_signo);
  r.rsi = frame.addr + offsetof(SignalFrame, info);
  r.rdx = frame.addr + offsetof(SignalFrame, context);
  r.rax = 0;
  r.cs = kUserCs, r.ss = kUserSs;
  r.eflags &= ~(kFlagDirection | kFlagResume | kFlagTrap);
}

void restore_regs(Regs& r, const SignalContext& m) {
  r.r8 = m.r8, r.r9 = m.r9, r.r10 = m.r10, r.r11 = m.r11;
  r.r12 = m.r12, r.r13 = m.r13, r.r14 = m.r14, r.r15 = m.r15;
  r.rdi = m.rdi, r.rsi = m.rsi, r.rbp = m.rbp, r.rbx = m.rbx;
  r.rdx = m.rdx, r.rax = m.rax, r.rcx = m.rcx, r.rsp = m.rsp;
  r.rip = m.rip;
  r.eflags = (r.eflags & ~kUserFlags) | (m.eflags & kUserFlags);
  r.cs = kUserCs, r.ss = kUserSs;
  r.orig_rax = -1;
}

size_t fpu_state_size(std::span<const std::byte, 512> legacy, size_t max) {
  SoftwareBytes sw;
  memcpy(&sw, legacy.data() + kSoftwareOffset, sizeof sw);
  if (sw.magic1 != kMagic1 || sw.xstate_size < kXsaveHeader + 64 || sw.xstate_size > max ||
      sw.extended_size < sw.xstate_size) {
    return 512;
  }
  return sw.xstate_size;
}

bool prepare_fpu_restore(std::span<std::byte> state, std::span<const std::byte> current) {
  if (state.size() <= kXsaveHeader + 24) return true;
  uint64_t enabled = 0, header[3];
  memcpy(&enabled, current.data() + kSoftwareOffset, sizeof enabled);
  memcpy(header, state.data() + kXsaveHeader, sizeof header);
  if ((header[0] & ~enabled) || header[1] || header[2]) return false;
  uint32_t mxcsr, mask;
  memcpy(&mxcsr, state.data() + 24, sizeof mxcsr);
  memcpy(&mask, current.data() + 28, sizeof mask);
  if (mxcsr & ~(mask ? mask : 0xffbf)) return false;
  memset(state.data() + kXsaveHeader + 24, 0,
         std::min<size_t>(40, state.size() - kXsaveHeader - 24));
  return true;
}

}  // namespace usk
