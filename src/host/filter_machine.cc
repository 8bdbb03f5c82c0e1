#include "host/filter_machine.h"

#include <linux/audit.h>

#include <cstddef>
#include <cstring>
#include <utility>

namespace usk::host {
namespace {

size_t jump(const sock_filter& i, uint32_t a, uint32_t x) {
  const uint32_t k = BPF_SRC(i.code) == BPF_X ? x : i.k;
  switch (BPF_OP(i.code)) {
    case BPF_JA: return i.k;
    case BPF_JEQ: return a == k ? i.jt : i.jf;
    case BPF_JGT: return a > k ? i.jt : i.jf;
    case BPF_JGE: return a >= k ? i.jt : i.jf;
    default: return a & k ? i.jt : i.jf;  // BPF_JSET
  }
}

// All ways through a filter for a call whose arguments are not known.
class Explorer {
 public:
  Explorer(std::span<const sock_filter> filter, uint32_t nr, uint64_t ip)
      : filter_(filter), nr_(nr), ip_(ip) {}

  // `a` is the accumulator, if it does not depend on arguments.
  void go(size_t pc, std::optional<uint32_t> a) {
    for (; pc < filter_.size() && seen_.emplace(pc, a).second; pc++) {
      const sock_filter& i = filter_[pc];
      if (i.code == (BPF_RET | BPF_K)) {
        verdicts.insert(i.k);
        return;
      }
      if (BPF_CLASS(i.code) == BPF_LD) a = load(i);
      if (BPF_CLASS(i.code) == BPF_ALU || i.code == (BPF_MISC | BPF_TXA)) a.reset();
      if (BPF_CLASS(i.code) != BPF_JMP) continue;
      if (BPF_OP(i.code) == BPF_JA || (a && BPF_SRC(i.code) == BPF_K)) {
        pc += jump(i, a.value_or(0), 0);
      } else {
        go(pc + 1 + i.jt, a);
        pc += i.jf;
      }
    }
  }

  std::set<uint32_t> verdicts;

 private:
  std::optional<uint32_t> load(const sock_filter& i) const {
    if (i.code == (BPF_LD | BPF_IMM)) return i.k;
    if (i.code != (BPF_LD | BPF_W | BPF_ABS)) return std::nullopt;
    switch (i.k) {
      case offsetof(seccomp_data, nr): return nr_;
      case offsetof(seccomp_data, arch): return AUDIT_ARCH_X86_64;
      case offsetof(seccomp_data, instruction_pointer): return uint32_t(ip_);
      case offsetof(seccomp_data, instruction_pointer) + 4: return uint32_t(ip_ >> 32);
      default: return std::nullopt;
    }
  }

  const std::span<const sock_filter> filter_;
  const uint32_t nr_;
  const uint64_t ip_;
  std::set<std::pair<size_t, std::optional<uint32_t>>> seen_;
};

}  // namespace

std::set<uint32_t> possible_verdicts(std::span<const sock_filter> filter, uint32_t nr,
                                     uint64_t instruction_pointer) {
  Explorer e(filter, nr, instruction_pointer);
  e.go(0, std::nullopt);
  return std::move(e.verdicts);
}

std::optional<uint32_t> run_filter(std::span<const sock_filter> filter, const seccomp_data& data) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (size_t pc = 0; pc < filter.size(); pc++) {
    const sock_filter& i = filter[pc];
    if (BPF_CLASS(i.code) == BPF_JMP) {
      pc += jump(i, a, x);
      continue;
    }
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        if (i.k % 4 || i.k > sizeof data - 4) return std::nullopt;
        memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, 4);
        break;
      case BPF_LD | BPF_IMM: a = i.k; break;
      case BPF_LD | BPF_MEM: a = memory[i.k % BPF_MEMWORDS]; break;
      case BPF_ST: memory[i.k % BPF_MEMWORDS] = a; break;
      case BPF_MISC | BPF_TAX: x = a; break;
      case BPF_MISC | BPF_TXA: a = x; break;
      case BPF_ALU | BPF_ADD | BPF_X: a += x; break;
      case BPF_ALU | BPF_AND | BPF_K: a &= i.k; break;
      case BPF_RET | BPF_K: return i.k;
      default: return std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace usk::host
