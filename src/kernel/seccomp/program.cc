#include "kernel/seccomp/program.h"

#include <linux/audit.h>

#include <algorithm>

namespace usk::seccomp {
namespace {

constexpr uint16_t kLoadWord = BPF_LD | BPF_W | BPF_ABS;

bool is_known_code(uint16_t code) {
  switch (code) {
    case kLoadWord:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
    case BPF_ALU | BPF_ADD | BPF_K:
    case BPF_ALU | BPF_ADD | BPF_X:
    case BPF_ALU | BPF_SUB | BPF_K:
    case BPF_ALU | BPF_SUB | BPF_X:
    case BPF_ALU | BPF_MUL | BPF_K:
    case BPF_ALU | BPF_MUL | BPF_X:
    case BPF_ALU | BPF_DIV | BPF_K:
    case BPF_ALU | BPF_DIV | BPF_X:
    case BPF_ALU | BPF_AND | BPF_K:
    case BPF_ALU | BPF_AND | BPF_X:
    case BPF_ALU | BPF_OR | BPF_K:
    case BPF_ALU | BPF_OR | BPF_X:
    case BPF_ALU | BPF_XOR | BPF_K:
    case BPF_ALU | BPF_XOR | BPF_X:
    case BPF_ALU | BPF_LSH | BPF_K:
    case BPF_ALU | BPF_LSH | BPF_X:
    case BPF_ALU | BPF_RSH | BPF_K:
    case BPF_ALU | BPF_RSH | BPF_X:
    case BPF_ALU | BPF_NEG:
    case BPF_JMP | BPF_JA:
    case BPF_JMP | BPF_JEQ | BPF_K:
    case BPF_JMP | BPF_JEQ | BPF_X:
    case BPF_JMP | BPF_JGT | BPF_K:
    case BPF_JMP | BPF_JGT | BPF_X:
    case BPF_JMP | BPF_JGE | BPF_K:
    case BPF_JMP | BPF_JGE | BPF_X:
    case BPF_JMP | BPF_JSET | BPF_K:
    case BPF_JMP | BPF_JSET | BPF_X:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA: return true;
    default: return false;
  }
}

bool is_jump(const sock_filter& f) { return BPF_CLASS(f.code) == BPF_JMP; }
bool is_always(const sock_filter& f) { return f.code == (BPF_JMP | BPF_JA); }
bool is_return(const sock_filter& f) { return BPF_CLASS(f.code) == BPF_RET; }
bool reads_cell(const sock_filter& f) {
  return f.code == (BPF_LD | BPF_MEM) || f.code == (BPF_LDX | BPF_MEM);
}
bool writes_cell(const sock_filter& f) { return f.code == BPF_ST || f.code == BPF_STX; }

// By itself: its operands. `after` is how many instructions follow.
bool is_valid(const sock_filter& f, size_t after) {
  if (!is_known_code(f.code)) return false;
  if (f.code == kLoadWord) return f.k < sizeof(seccomp_data) && f.k % 4 == 0;
  if (reads_cell(f) || writes_cell(f)) return f.k < BPF_MEMWORDS;
  if (is_always(f)) return f.k < after;
  if (is_jump(f)) return f.jt < after && f.jf < after;
  if (BPF_CLASS(f.code) == BPF_ALU && BPF_SRC(f.code) == BPF_K) {
    const int op = BPF_OP(f.code);
    if (op == BPF_DIV) return f.k != 0;
    if (op == BPF_LSH || op == BPF_RSH) return f.k < 32;
  }
  return true;
}

// Whether every memory cell is written on each way to where it is read. A bit is a cell; what
// follows a return counts as reached from it, as Linux has it.
bool cells_are_written(std::span<const sock_filter> program) {
  std::vector<uint16_t> arriving(program.size(), 0xffff);
  uint16_t written = 0;
  for (size_t pc = 0; pc < program.size(); pc++) {
    const sock_filter& f = program[pc];
    written &= arriving[pc];
    const auto cell = uint16_t(1u << (f.k % BPF_MEMWORDS));
    if (writes_cell(f)) written |= cell;
    if (reads_cell(f) && !(written & cell)) return false;
    if (!is_jump(f)) continue;
    if (is_always(f)) {
      arriving[pc + 1 + f.k] &= written;
    } else {
      arriving[pc + 1 + f.jt] &= written;
      arriving[pc + 1 + f.jf] &= written;
    }
    written = 0xffff;
  }
  return true;
}

// What a load finds by the number alone.
std::optional<uint32_t> known_word(uint32_t offset, uint32_t nr) {
  if (offset == offsetof(seccomp_data, nr)) return nr;
  if (offset == offsetof(seccomp_data, arch)) return AUDIT_ARCH_X86_64;
  return std::nullopt;
}

// A shift by 32 and more is one by the low five bits, as the processor has it.
uint32_t compute(uint16_t op, uint32_t a, uint32_t b) {
  switch (op) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_AND: return a & b;
    case BPF_OR: return a | b;
    case BPF_XOR: return a ^ b;
    case BPF_LSH: return a << (b & 31);
    case BPF_RSH: return a >> (b & 31);
    default: return -a;  // BPF_NEG
  }
}

bool compare(uint16_t op, uint32_t a, uint32_t b) {
  switch (op) {
    case BPF_JEQ: return a == b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    default: return a & b;  // BPF_JSET
  }
}

}  // namespace

Result<void> check_program(std::span<const sock_filter> program) {
  if (program.empty() || program.size() > BPF_MAXINSNS) return Err(EINVAL);
  for (size_t pc = 0; pc < program.size(); pc++) {
    if (!is_valid(program[pc], program.size() - pc - 1)) return Err(EINVAL);
  }
  if (!is_return(program.back()) || !cells_are_written(program)) return Err(EINVAL);
  return {};
}

size_t counted_length(std::span<const sock_filter> program) {
  size_t n = 3;  // A and X cleared, the context set aside.
  for (const sock_filter& f : program) {
    n++;
    if (f.code == (BPF_RET | BPF_K)) n++;               // The value, then the end.
    if (f.code == (BPF_ALU | BPF_DIV | BPF_X)) n += 4;  // The test for zero.
    if (!is_jump(f) || is_always(f)) continue;
    if (BPF_SRC(f.code) == BPF_K && int32_t(f.k) < 0) n++;  // It would be sign-extended.
    const bool has_opposite = BPF_OP(f.code) != BPF_JSET;
    if (f.jf != 0 && !(f.jt == 0 && has_opposite)) n++;
  }
  return n;
}

std::optional<uint32_t> run_by_number(std::span<const sock_filter> program, Machine& m,
                                      uint32_t nr) {
  for (;; m.pc++) {
    const sock_filter& f = program[m.pc];
    const uint32_t b = BPF_SRC(f.code) == BPF_X ? m.x : f.k;
    switch (f.code) {
      case kLoadWord: {
        const auto v = known_word(f.k, nr);
        if (!v) return std::nullopt;
        m.a = *v;
        break;
      }
      case BPF_RET | BPF_K: return f.k;
      case BPF_RET | BPF_A: return m.a;
      case BPF_LD | BPF_IMM: m.a = f.k; break;
      case BPF_LDX | BPF_IMM: m.x = f.k; break;
      case BPF_LD | BPF_MEM: m.a = m.memory[f.k]; break;
      case BPF_LDX | BPF_MEM: m.x = m.memory[f.k]; break;
      case BPF_ST: m.memory[f.k] = m.a; break;
      case BPF_STX: m.memory[f.k] = m.x; break;
      case BPF_LD | BPF_W | BPF_LEN: m.a = sizeof(seccomp_data); break;
      case BPF_LDX | BPF_W | BPF_LEN: m.x = sizeof(seccomp_data); break;
      case BPF_MISC | BPF_TAX: m.x = m.a; break;
      case BPF_MISC | BPF_TXA: m.a = m.x; break;
      case BPF_JMP | BPF_JA: m.pc += f.k; break;
      default:
        if (is_jump(f)) {
          m.pc += compare(BPF_OP(f.code), m.a, b) ? f.jt : f.jf;
        } else if (BPF_OP(f.code) == BPF_DIV) {
          if (b == 0) return 0;  // Linux: the program ends so.
          m.a /= b;
        } else {
          m.a = compute(BPF_OP(f.code), m.a, b);
        }
    }
  }
}

bool reads_ip(std::span<const sock_filter> program) {
  constexpr size_t kIp = offsetof(seccomp_data, instruction_pointer);
  return std::any_of(program.begin(), program.end(), [](const sock_filter& f) {
    return f.code == kLoadWord && f.k >= kIp && f.k < kIp + sizeof(uint64_t);
  });
}

}  // namespace usk::seccomp
