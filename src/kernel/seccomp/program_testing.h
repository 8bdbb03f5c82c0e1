// For tests: a second interpreter of filters, as plain as can be, the judge of the first.
#pragma once
#include "kernel/seccomp/program.h"

namespace usk::seccomp {

inline uint32_t run_plainly(const Program& p, const seccomp_data& data) {
  uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {};
  for (size_t pc = 0; pc < p.size(); pc++) {
    const sock_filter& f = p[pc];
    const uint32_t b = BPF_SRC(f.code) == BPF_X ? x : f.k;
    switch (BPF_CLASS(f.code)) {
      case BPF_LD:
      case BPF_LDX: {
        uint32_t v = f.k;
        if (BPF_MODE(f.code) == BPF_ABS) v = reinterpret_cast<const uint32_t*>(&data)[f.k / 4];
        if (BPF_MODE(f.code) == BPF_LEN) v = 64;
        if (BPF_MODE(f.code) == BPF_MEM) v = memory[f.k];
        (BPF_CLASS(f.code) == BPF_LD ? a : x) = v;
        break;
      }
      case BPF_ST: memory[f.k] = a; break;
      case BPF_STX: memory[f.k] = x; break;
      case BPF_ALU:
        switch (BPF_OP(f.code)) {
          case BPF_ADD: a += b; break;
          case BPF_SUB: a -= b; break;
          case BPF_MUL: a *= b; break;
          case BPF_DIV:
            if (b == 0) return 0;
            a /= b;
            break;
          case BPF_AND: a &= b; break;
          case BPF_OR: a |= b; break;
          case BPF_XOR: a ^= b; break;
          case BPF_LSH: a <<= b % 32; break;
          case BPF_RSH: a >>= b % 32; break;
          case BPF_NEG: a = 0 - a; break;
        }
        break;
      case BPF_JMP: {
        bool yes = false;
        switch (BPF_OP(f.code)) {
          case BPF_JA: pc += f.k; continue;
          case BPF_JEQ: yes = a == b; break;
          case BPF_JGT: yes = a > b; break;
          case BPF_JGE: yes = a >= b; break;
          case BPF_JSET: yes = (a & b) != 0; break;
        }
        pc += yes ? f.jt : f.jf;
        break;
      }
      case BPF_RET: return BPF_RVAL(f.code) == BPF_A ? a : f.k;
      case BPF_MISC:
        (BPF_MISCOP(f.code) == BPF_TAX ? x : a) = BPF_MISCOP(f.code) == BPF_TAX ? a : x;
    }
  }
  return 0;
}

}  // namespace usk::seccomp
