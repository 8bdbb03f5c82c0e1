// The general registers of a guest thread and the system call convention (syscall(2)).
#pragma once
#include <sys/user.h>

#include <array>
#include <cstdint>

#include "base/fields.h"

namespace usk {

// Laid out as Linux's user_regs_struct (PTRACE_GETREGS, NT_PRSTATUS).
struct Regs : user_regs_struct {
  Regs() : user_regs_struct{} {}

  uint64_t ip() const { return rip; }
  void set_ip(uint64_t v) { rip = v; }
  uint64_t sp() const { return rsp; }
  void set_sp(uint64_t v) { rsp = v; }
  int64_t result() const { return int64_t(rax); }
  void set_result(int64_t v) { rax = uint64_t(v); }
  // The number of the system call that trapped; -1 when none did.
  int64_t syscall_nr() const { return int64_t(orig_rax); }
  std::array<uint64_t, 6> syscall_args() const { return {rdi, rsi, rdx, r10, r8, r9}; }
  // Back to the system call instruction, with `nr` to be called.
  void rewind_syscall(uint64_t nr) {
    rip -= kSyscallLength;
    rax = nr;
  }
  static constexpr int kSyscallLength = 2;

  USK_FIELDS(r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip,
             cs, eflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs)
};
static_assert(sizeof(Regs) == 27 * 8);

// Flags that user code may set; the rest keeps its value (sigreturn, PTRACE_SETREGS).
constexpr uint64_t kUserFlags = 0x254dd5;  // CF PF AF ZF SF TF DF OF NT RF AC ID
constexpr uint64_t kFlagTrap = 0x100;
constexpr uint64_t kFlagDirection = 0x400;
constexpr uint64_t kFlagResume = 0x10000;
constexpr uint64_t kFlagsInitial = 0x202;
constexpr uint64_t kUserCs = 0x33;
constexpr uint64_t kUserSs = 0x2b;

// Where the legacy vsyscall page is, whatever is mapped (vsyscall=emulate).
constexpr uint64_t kVsyscallPage = 0xffffffffff600000;

// Whether an address can be loaded into rip or a segment base without a fault in the kernel.
constexpr bool is_canonical(uint64_t addr) { return int64_t(addr << 16) >> 16 == int64_t(addr); }

}  // namespace usk
