#include "kernel/seccomp/fast_program.h"

#include <cstring>
#include <utility>

namespace usk::seccomp {
namespace {

using Step = sock_filter;

// The rest of a run. All of it is in registers: each function ends in a jump to the next one, whose
// place the processor guesses for each of these jumps by itself.
#define RUN const Step *f, uint32_t a, uint32_t x, const std::byte *data, uint32_t *memory
using Run = uint32_t (*)(RUN);
#define GO_ON(step)          \
  const Step* next = (step); \
  return kRuns[next->code](next, a, x, data, memory)

// What comes before a test, as one step with it: nothing, a load, a load and a mask.
constexpr uint16_t kAlone = 0, kLoaded = 1, kMasked = 2, kPrefixes = 3;
constexpr uint16_t kEqual = 0, kGreater = 1, kNotLess = 2, kBits = 3, kTests = 4;
// One way mostly leads to the next instruction. Then its distance, which would have to be read and
// added before anything else could begin, is not looked at.
constexpr uint16_t kElseNext = 0, kThenNext = 1, kNeitherNext = 2, kShapes = 3;

// Codes of single instructions are those of BPF, and these follow.
constexpr uint16_t kFused = 0x100;
constexpr uint16_t kCodes = kFused + kPrefixes * kTests * kShapes;
constexpr uint16_t fused(uint16_t prefix, uint16_t test, uint16_t shape) {
  return uint16_t(kFused + (prefix * kTests + test) * kShapes + shape);
}

extern const std::array<Run, kCodes> kRuns;

uint32_t word(const std::byte* data, uint32_t offset) {
  uint32_t v;
  memcpy(&v, data + offset, sizeof v);
  return v;
}

template <uint16_t test>
bool holds(uint32_t a, uint32_t b) {
  switch (test) {
    case kEqual: return a == b;
    case kGreater: return a > b;
    case kNotLess: return a >= b;
    default: return a & b;
  }
}

// Tests of one kind that follow each other are one step, however many they are.
template <uint16_t prefix, uint16_t test, uint16_t shape>
uint32_t run_test(RUN) {
  bool yes;
  do {
    if constexpr (prefix != kAlone) a = word(data, f[0].k);
    if constexpr (prefix == kMasked) a &= f[1].k;
    f += prefix;
    yes = holds<test>(a, f->k);
    if (yes ? shape != kThenNext : shape != kElseNext) {
      GO_ON(f + 1 + (yes ? f->jt : f->jf));
    }
    f++;
  } while (f->code == fused(prefix, test, shape));
  GO_ON(f);
}

template <uint16_t test>
uint32_t run_test_of_x(RUN) {
  GO_ON(f + 1 + (holds<test>(a, x) ? f->jt : f->jf));
}

template <uint16_t op, uint16_t source>
uint32_t run_alu(RUN) {
  const uint32_t b = source == BPF_X ? x : f->k;
  if constexpr (op == BPF_ADD) a += b;
  if constexpr (op == BPF_SUB) a -= b;
  if constexpr (op == BPF_MUL) a *= b;
  if constexpr (op == BPF_AND) a &= b;
  if constexpr (op == BPF_OR) a |= b;
  if constexpr (op == BPF_XOR) a ^= b;
  // By the low five bits, as the processor has it.
  if constexpr (op == BPF_LSH) a <<= b & 31;
  if constexpr (op == BPF_RSH) a >>= b & 31;
  if constexpr (op == BPF_NEG) a = -a;
  if constexpr (op == BPF_DIV) {
    if (b == 0) return 0;  // Linux: the program ends so.
    a /= b;
  }
  GO_ON(f + 1);
}

// Loads and moves: where the value comes from, where it goes.
template <uint16_t code>
uint32_t run_move(RUN) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS: a = word(data, f->k); break;
    case BPF_LD | BPF_IMM: a = f->k; break;
    case BPF_LDX | BPF_IMM: x = f->k; break;
    case BPF_LD | BPF_MEM: a = memory[f->k]; break;
    case BPF_LDX | BPF_MEM: x = memory[f->k]; break;
    case BPF_LD | BPF_W | BPF_LEN: a = sizeof(seccomp_data); break;
    case BPF_LDX | BPF_W | BPF_LEN: x = sizeof(seccomp_data); break;
    case BPF_ST: memory[f->k] = a; break;
    case BPF_STX: memory[f->k] = x; break;
    case BPF_MISC | BPF_TAX: x = a; break;
    case BPF_MISC | BPF_TXA: a = x; break;
  }
  GO_ON(f + 1);
}

uint32_t run_jump(RUN) { GO_ON(f + 1 + f->k); }
uint32_t run_return(const Step* f, uint32_t, uint32_t, const std::byte*, uint32_t*) { return f->k; }
uint32_t run_return_a(const Step*, uint32_t a, uint32_t, const std::byte*, uint32_t*) { return a; }
// No program that was checked has such a code.
uint32_t run_unknown(RUN) {
  (void)f, (void)a, (void)x, (void)data, (void)memory;
  return SECCOMP_RET_KILL_PROCESS;
}

using Runs = std::array<Run, kCodes>;

template <uint16_t... codes>
constexpr void set_moves(Runs& runs) {
  ((runs[codes] = run_move<codes>), ...);
}

template <uint16_t... ops>
constexpr void set_alu(Runs& runs) {
  ((runs[BPF_ALU | ops | BPF_K] = run_alu<ops, BPF_K>), ...);
  ((runs[BPF_ALU | ops | BPF_X] = run_alu<ops, BPF_X>), ...);
}

template <uint16_t... codes>
constexpr void set_fused(Runs& runs, std::integer_sequence<uint16_t, codes...>) {
  ((runs[kFused + codes] =
        run_test<codes / (kTests * kShapes), codes / kShapes % kTests, codes % kShapes>),
   ...);
}

constexpr Runs all_runs() {
  Runs runs;
  runs.fill(run_unknown);
  set_moves<BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_IMM, BPF_LDX | BPF_IMM, BPF_LD | BPF_MEM,
            BPF_LDX | BPF_MEM, BPF_LD | BPF_W | BPF_LEN, BPF_LDX | BPF_W | BPF_LEN, BPF_ST, BPF_STX,
            BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA>(runs);
  set_alu<BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR, BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG>(
      runs);
  set_fused(runs, std::make_integer_sequence<uint16_t, kCodes - kFused>());
  runs[BPF_JMP | BPF_JEQ | BPF_X] = run_test_of_x<kEqual>;
  runs[BPF_JMP | BPF_JGT | BPF_X] = run_test_of_x<kGreater>;
  runs[BPF_JMP | BPF_JGE | BPF_X] = run_test_of_x<kNotLess>;
  runs[BPF_JMP | BPF_JSET | BPF_X] = run_test_of_x<kBits>;
  runs[BPF_JMP | BPF_JA] = run_jump;
  runs[BPF_RET | BPF_K] = run_return;
  runs[BPF_RET | BPF_A] = run_return_a;
  return runs;
}

constexpr std::array<Run, kCodes> kRuns = all_runs();

// Those of a value in the instruction.
std::optional<uint16_t> test_of(const sock_filter& f) {
  switch (f.code) {
    case BPF_JMP | BPF_JEQ | BPF_K: return kEqual;
    case BPF_JMP | BPF_JGT | BPF_K: return kGreater;
    case BPF_JMP | BPF_JGE | BPF_K: return kNotLess;
    case BPF_JMP | BPF_JSET | BPF_K: return kBits;
    default: return std::nullopt;
  }
}

// The code for what begins with the first of these; a checked program ends with a return.
uint16_t code_of(const sock_filter* f) {
  uint16_t prefix = kAlone;
  if (f[0].code == (BPF_LD | BPF_W | BPF_ABS)) {
    prefix = f[1].code == (BPF_ALU | BPF_AND | BPF_K) ? kMasked : kLoaded;
  }
  const auto test = test_of(f[prefix]);
  if (!test) return f->code;
  const sock_filter& jump = f[prefix];
  return fused(prefix, *test, !jump.jf ? kElseNext : !jump.jt ? kThenNext : kNeitherNext);
}

}  // namespace

FastProgram::FastProgram(std::span<const sock_filter> program)
    : steps_(program.begin(), program.end()) {
  for (size_t i = 0; i < program.size(); i++) steps_[i].code = code_of(&program[i]);
}

uint32_t FastProgram::finish(Machine m, const seccomp_data& data) const {
  const Step* f = &steps_[m.pc];
  return kRuns[f->code](f, m.a, m.x, reinterpret_cast<const std::byte*>(&data), m.memory.data());
}

}  // namespace usk::seccomp
