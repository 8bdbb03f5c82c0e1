#include "kernel/seccomp/fast_program.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

namespace usk::seccomp {
namespace {

using Step = sock_filter;

constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr uint16_t kTax = BPF_MISC | BPF_TAX, kTxa = BPF_MISC | BPF_TXA;
constexpr uint16_t alu(uint16_t op, uint16_t source) { return BPF_ALU | op | source; }

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
constexpr uint16_t kPaired = kFused + kPrefixes * kTests * kShapes;
constexpr uint16_t fused(uint16_t prefix, uint16_t test, uint16_t shape) {
  return uint16_t(kFused + (prefix * kTests + test) * kShapes + shape);
}

// Instructions that neither jump nor end: two that follow each other are one step. (A division by
// the index register may end the program. Loads of the length are loads of a constant.)
constexpr auto kSimple = std::to_array<uint16_t>({
    BPF_LD | BPF_W | BPF_ABS,
    BPF_LD | BPF_IMM,
    BPF_LDX | BPF_IMM,
    BPF_LD | BPF_MEM,
    BPF_LDX | BPF_MEM,
    BPF_ST,
    BPF_STX,
    kTax,
    kTxa,
    alu(BPF_ADD, BPF_K),
    alu(BPF_ADD, BPF_X),
    alu(BPF_SUB, BPF_K),
    alu(BPF_SUB, BPF_X),
    alu(BPF_MUL, BPF_K),
    alu(BPF_MUL, BPF_X),
    alu(BPF_AND, BPF_K),
    alu(BPF_AND, BPF_X),
    alu(BPF_OR, BPF_K),
    alu(BPF_OR, BPF_X),
    alu(BPF_XOR, BPF_K),
    alu(BPF_XOR, BPF_X),
    alu(BPF_LSH, BPF_K),
    alu(BPF_LSH, BPF_X),
    alu(BPF_RSH, BPF_K),
    alu(BPF_RSH, BPF_X),
    alu(BPF_DIV, BPF_K),
    alu(BPF_NEG, BPF_K),
});
constexpr uint16_t kCodes = kPaired + kSimple.size() * kSimple.size();

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

// What neither jumps nor ends.
template <uint16_t op>
void compute(uint32_t& a, uint32_t b) {
  if constexpr (op == BPF_ADD) a += b;
  if constexpr (op == BPF_SUB) a -= b;
  if constexpr (op == BPF_MUL) a *= b;
  if constexpr (op == BPF_DIV) a /= b;
  if constexpr (op == BPF_AND) a &= b;
  if constexpr (op == BPF_OR) a |= b;
  if constexpr (op == BPF_XOR) a ^= b;
  // By the low five bits, as the processor has it.
  if constexpr (op == BPF_LSH) a <<= b & 31;
  if constexpr (op == BPF_RSH) a >>= b & 31;
  if constexpr (op == BPF_NEG) a = -a;
}

template <uint16_t code>
void move(uint32_t k, uint32_t& a, uint32_t& x, const std::byte* data, uint32_t* memory) {
  switch (code) {
    case BPF_LD | BPF_W | BPF_ABS: a = word(data, k); break;
    case BPF_LD | BPF_IMM: a = k; break;
    case BPF_LDX | BPF_IMM: x = k; break;
    case BPF_LD | BPF_MEM: a = memory[k]; break;
    case BPF_LDX | BPF_MEM: x = memory[k]; break;
    case BPF_ST: memory[k] = a; break;
    case BPF_STX: memory[k] = x; break;
    case BPF_MISC | BPF_TAX: x = a; break;
    case BPF_MISC | BPF_TXA: a = x; break;
  }
}

template <uint16_t code>
void apply(uint32_t k, uint32_t& a, uint32_t& x, const std::byte* data, uint32_t* memory) {
  if constexpr (BPF_CLASS(code) == BPF_ALU) {
    compute<BPF_OP(code)>(a, BPF_SRC(code) == BPF_X ? x : k);
  } else {
    move<code>(k, a, x, data, memory);
  }
}

template <uint16_t code>
uint32_t run_simple(RUN) {
  apply<code>(f->k, a, x, data, memory);
  GO_ON(f + 1);
}

template <uint16_t first, uint16_t second>
uint32_t run_pair(RUN) {
  apply<first>(f[0].k, a, x, data, memory);
  apply<second>(f[1].k, a, x, data, memory);
  GO_ON(f + 2);
}

uint32_t run_division_by_x(RUN) {
  if (x == 0) return 0;  // Linux: the program ends so.
  a /= x;
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

template <size_t... codes>
constexpr void set_simple(Runs& runs, std::index_sequence<codes...>) {
  ((runs[kSimple[codes]] = run_simple<kSimple[codes]>), ...);
}

template <size_t first, size_t... seconds>
constexpr void set_pairs_with(Runs& runs, std::index_sequence<seconds...>) {
  ((runs[kPaired + first * kSimple.size() + seconds] = run_pair<kSimple[first], kSimple[seconds]>),
   ...);
}

template <size_t... firsts>
constexpr void set_pairs(Runs& runs, std::index_sequence<firsts...> all) {
  (set_pairs_with<firsts>(runs, all), ...);
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
  set_simple(runs, std::make_index_sequence<kSimple.size()>());
  set_pairs(runs, std::make_index_sequence<kSimple.size()>());
  set_fused(runs, std::make_integer_sequence<uint16_t, kPaired - kFused>());
  runs[alu(BPF_DIV, BPF_X)] = run_division_by_x;
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

// The same in fewer codes: the length is a constant, and a negation has no operand.
sock_filter plainer(sock_filter f) {
  switch (f.code) {
    case BPF_LD | BPF_W | BPF_LEN: return {BPF_LD | BPF_IMM, 0, 0, sizeof(seccomp_data)};
    case BPF_LDX | BPF_W | BPF_LEN: return {BPF_LDX | BPF_IMM, 0, 0, sizeof(seccomp_data)};
    case BPF_ALU | BPF_NEG | BPF_X: return {BPF_ALU | BPF_NEG | BPF_K, 0, 0, 0};
    default: return f;
  }
}

// The code of the test that begins with the first of these, if one does. A checked program ends
// with a return: what is no return has a next one.
std::optional<uint16_t> test_code(const sock_filter* f) {
  uint16_t prefix = kAlone;
  if (f[0].code == kLoad) prefix = f[1].code == alu(BPF_AND, BPF_K) ? kMasked : kLoaded;
  const auto test = test_of(f[prefix]);
  if (!test) return std::nullopt;
  const sock_filter& jump = f[prefix];
  return fused(prefix, *test, !jump.jf ? kElseNext : !jump.jt ? kThenNext : kNeitherNext);
}

std::optional<size_t> simple(uint16_t code) {
  const auto at = std::ranges::find(kSimple, code);
  if (at == kSimple.end()) return std::nullopt;
  return at - kSimple.begin();
}

// A value that is read again from the cell into which it has just been put: the processor would
// wait for the one to know the other.
bool reads_back(const sock_filter* f) {
  return f[0].code == BPF_ST && f[1].code == (BPF_LDX | BPF_MEM) && f[0].k == f[1].k;
}

// The code for what begins with the first of these.
uint16_t code_of(const sock_filter* f) {
  if (const auto test = test_code(f)) return *test;
  const auto first = simple(f[0].code);
  if (!first || test_code(f + 1)) return f[0].code;
  const auto second = simple(reads_back(f) ? kTax : f[1].code);
  if (!second || reads_back(f + 1)) return f[0].code;
  return uint16_t(kPaired + *first * kSimple.size() + *second);
}

}  // namespace

FastProgram::FastProgram(std::span<const sock_filter> program) {
  std::vector<sock_filter> plain;
  plain.reserve(program.size());
  for (const sock_filter& f : program) plain.push_back(plainer(f));
  steps_ = plain;
  for (size_t i = 0; i < plain.size(); i++) steps_[i].code = code_of(&plain[i]);
}

uint32_t FastProgram::finish(Machine m, const seccomp_data& data) const {
  const Step* f = &steps_[m.pc];
  return kRuns[f->code](f, m.a, m.x, reinterpret_cast<const std::byte*>(&data), m.memory.data());
}

}  // namespace usk::seccomp
