#include "host/bpf.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cstddef>

namespace usk::host {
namespace {

sock_filter load(size_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, uint32_t(offset)); }
sock_filter answer(uint32_t verdict) { return BPF_STMT(BPF_RET | BPF_K, verdict); }

}  // namespace

std::vector<sock_filter> stub_filter(uint64_t code, uint64_t code_end,
                                     std::span<const uint32_t> calls,
                                     std::span<const int> options) {
  const uint32_t high = uint32_t(code >> 32), low = uint32_t(code);
  const uint32_t low_end = uint32_t(code_end);
  std::vector<sock_filter> f;
  f.push_back(load(offsetof(seccomp_data, arch)));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  f.push_back(answer(SECCOMP_RET_TRAP));
  f.push_back(load(offsetof(seccomp_data, instruction_pointer) + 4));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 1, 0));
  f.push_back(answer(SECCOMP_RET_TRAP));
  f.push_back(load(offsetof(seccomp_data, instruction_pointer)));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low, 1, 0));
  f.push_back(answer(SECCOMP_RET_TRAP));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, low_end, 0, 1));
  f.push_back(answer(SECCOMP_RET_TRAP));
  f.push_back(load(offsetof(seccomp_data, nr)));
  for (uint32_t nr : calls) {
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    f.push_back(answer(SECCOMP_RET_ALLOW));
  }
  // The option is an int, of which the host takes no more than the lower half.
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 1, 0));
  f.push_back(answer(SECCOMP_RET_TRAP));
  f.push_back(load(offsetof(seccomp_data, args)));
  for (int option : options) {
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(option), 0, 1));
    f.push_back(answer(SECCOMP_RET_ALLOW));
  }
  f.push_back(answer(SECCOMP_RET_TRAP));
  return f;
}

}  // namespace usk::host
