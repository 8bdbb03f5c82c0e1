#include "kernel/seccomp/program.h"

#include <linux/audit.h>

#include <algorithm>
#include <cstring>

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

// What the loads of a run find.
struct AllData {
  const seccomp_data& data;
  bool load(uint32_t offset, uint32_t& out) const {
    memcpy(&out, reinterpret_cast<const std::byte*>(&data) + offset, sizeof out);
    return true;
  }
};
struct NumberOnly {
  uint32_t nr;
  bool load(uint32_t offset, uint32_t& out) const {
    if (offset == offsetof(seccomp_data, nr)) {
      out = nr;
    } else if (offset == offsetof(seccomp_data, arch)) {
      out = AUDIT_ARCH_X86_64;
    } else {
      return false;
    }
    return true;
  }
};

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

// Most jumps go on with the next instruction one way. The processor guesses that and need not wait
// for the distance, which it would have to add; the barrier keeps the compiler from making it do
// so.
[[gnu::always_inline]] inline const sock_filter* jump(const sock_filter* f, bool yes) {
  const uint8_t distance = yes ? f->jt : f->jf;
  if (distance == 0) return f;
  __asm__("" : "+r"(f));
  return f + distance;
}

template <class Data>
[[gnu::always_inline]] inline std::optional<uint32_t> run(const sock_filter* program, Machine& m,
                                                          Data data) {
  uint32_t a = m.a, x = m.x;
  for (const sock_filter* f = program + m.pc;; f++) {
    switch (f->code) {
      case kLoadWord:
        if (data.load(f->k, a)) break;
        m.pc = uint32_t(f - program), m.a = a, m.x = x;
        return std::nullopt;
      case BPF_JMP | BPF_JEQ | BPF_K: f = jump(f, a == f->k); break;
      case BPF_JMP | BPF_JGE | BPF_K: f = jump(f, a >= f->k); break;
      case BPF_JMP | BPF_JGT | BPF_K: f = jump(f, a > f->k); break;
      case BPF_JMP | BPF_JSET | BPF_K: f = jump(f, a & f->k); break;
      case BPF_JMP | BPF_JA: f += f->k; break;
      case BPF_RET | BPF_K: return f->k;
      case BPF_RET | BPF_A: return a;
      case BPF_ALU | BPF_AND | BPF_K: a &= f->k; break;
      case BPF_LD | BPF_MEM: a = m.memory[f->k]; break;
      case BPF_LDX | BPF_MEM: x = m.memory[f->k]; break;
      case BPF_ST: m.memory[f->k] = a; break;
      case BPF_STX: m.memory[f->k] = x; break;
      case BPF_LD | BPF_IMM: a = f->k; break;
      case BPF_LDX | BPF_IMM: x = f->k; break;
      case BPF_LD | BPF_W | BPF_LEN: a = sizeof(seccomp_data); break;
      case BPF_LDX | BPF_W | BPF_LEN: x = sizeof(seccomp_data); break;
      case BPF_MISC | BPF_TAX: x = a; break;
      case BPF_MISC | BPF_TXA: a = x; break;
      default: {
        const uint32_t b = BPF_SRC(f->code) == BPF_X ? x : f->k;
        const uint16_t op = BPF_OP(f->code);
        if (is_jump(*f)) {
          f = jump(f, compare(op, a, b));
        } else if (op == BPF_DIV) {
          if (b == 0) return 0;  // Linux: the program ends so.
          a /= b;
        } else {
          a = compute(op, a, b);
        }
      }
    }
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

uint32_t finish(std::span<const sock_filter> program, Machine machine, const seccomp_data& data) {
  return *run(program.data(), machine, AllData{data});
}

std::optional<uint32_t> run_by_number(std::span<const sock_filter> program, Machine& machine,
                                      uint32_t nr) {
  return run(program.data(), machine, NumberOnly{nr});
}

bool reads_ip(std::span<const sock_filter> program) {
  constexpr size_t kIp = offsetof(seccomp_data, instruction_pointer);
  return std::any_of(program.begin(), program.end(), [](const sock_filter& f) {
    return f.code == kLoadWord && f.k >= kIp && f.k < kIp + sizeof(uint64_t);
  });
}

}  // namespace usk::seccomp
