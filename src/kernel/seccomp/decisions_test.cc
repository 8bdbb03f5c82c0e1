#include "kernel/seccomp/decisions.h"

#include <gtest/gtest.h>
#include <linux/audit.h>

#include <random>

#include "kernel/seccomp/program_testing.h"

namespace usk::seccomp {
namespace {

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  uint32_t below(uint32_t n) { return uint32_t(engine_() % n); }
  uint32_t word() { return below(3) ? below(70) : uint32_t(engine_()); }
  template <size_t N>
  uint32_t of(const uint32_t (&values)[N]) {
    return values[below(N)];
  }
  uint32_t verdict() {
    return of({SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP,
               SECCOMP_RET_ERRNO, SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG,
               SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW, 0x12340000u}) +
           below(5);
  }

 private:
  std::mt19937_64 engine_;
};

sock_filter random_instruction(Random& r, uint32_t after) {
  sock_filter f{};
  const uint32_t source = r.of({BPF_K, BPF_X});
  switch (r.below(after ? 10 : 1)) {
    case 0:
      f.code = uint16_t(BPF_RET | r.of({BPF_K, BPF_K, BPF_K, BPF_A}));
      f.k = r.verdict();
      break;
    case 1:
    case 2: f = {BPF_LD | BPF_W | BPF_ABS, 0, 0, 4 * r.of({0, 0, 0, 1, 2, 3, 4, 5, 9, 15})}; break;
    case 3:
      f.code = uint16_t(BPF_ALU | source |
                        r.of({BPF_ADD, BPF_SUB, BPF_MUL, BPF_AND, BPF_OR, BPF_XOR, BPF_DIV}));
      f.k = r.word();
      break;
    case 4:
      f.code = uint16_t(BPF_ALU | source | r.of({BPF_LSH, BPF_RSH}));
      f.k = r.below(32);
      break;
    case 5:
      f.code = uint16_t(r.of({BPF_LD, BPF_LDX}) | r.of({BPF_IMM, BPF_MEM, BPF_W | BPF_LEN}));
      f.k = BPF_MODE(f.code) == BPF_MEM ? r.below(4) : r.word();
      break;
    case 6: f = {uint16_t(r.of({BPF_ST, BPF_STX})), 0, 0, r.below(4)}; break;
    case 7:
      f.code = uint16_t(r.of({BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA, BPF_ALU | BPF_NEG}));
      break;
    default:
      f.code = uint16_t(BPF_JMP | source | r.of({BPF_JEQ, BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET}));
      if (r.below(10) == 0) f.code = BPF_JMP | BPF_JA;
      f.jt = uint8_t(r.below(std::min(after, 255u)));
      f.jf = uint8_t(r.below(std::min(after, 255u)));
      f.k = f.code == (BPF_JMP | BPF_JA) ? r.below(after) : r.word();
  }
  return f;
}

// What filters mostly are: the same test of one word after the other. At most so long.
void add_run(Program& p, Random& r, uint32_t size) {
  const uint32_t prefix = r.below(3), shape = r.below(4);
  const auto op = uint16_t(BPF_JMP | r.of({BPF_JEQ, BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET}));
  for (uint32_t n = 1 + r.below(6); n > 0 && p.size() + prefix + 2 < size; n--) {
    if (prefix > 0) p.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 4 * r.below(16)});
    if (prefix > 1) p.push_back({BPF_ALU | BPF_AND | BPF_K, 0, 0, r.word()});
    const uint32_t after = size - uint32_t(p.size()) - 1;
    p.push_back({op, uint8_t(shape & 1 ? r.below(after) : 0),
                 uint8_t(shape & 2 ? r.below(after) : 0), r.below(2) ? r.below(3) : r.word()});
  }
}

// One that the checker takes.
Program random_program(Random& r) {
  for (;;) {
    const uint32_t size = 1 + r.below(40);
    Program p;
    // Most begin as real ones do.
    if (r.below(2) && size > 2) p.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, 0});
    while (p.size() < size) {
      if (r.below(4) == 0) add_run(p, r, size);
      p.push_back(random_instruction(r, size - uint32_t(p.size()) - 1));
    }
    if (check_program(p)) return p;
  }
}

seccomp_data random_call(Random& r) {
  seccomp_data d{};
  d.nr = int(r.below(20) ? r.below(70) : r.word());
  d.arch = AUDIT_ARCH_X86_64;
  d.instruction_pointer = r.word();
  for (auto& a : d.args) a = uint64_t(r.word()) << 32 | r.word();
  return d;
}

Judgement expected(const Filter& newest, const seccomp_data& d) {
  Judgement best;
  for (const Filter* f = &newest; f; f = f->prev().get()) {
    const uint32_t v = run_plainly(Program(f->program().begin(), f->program().end()), d);
    const auto rank = [](uint32_t verdict) { return int32_t(verdict & 0xffff0000); };
    if (rank(v) < rank(best.verdict)) best = {v, f};
  }
  return best;
}

TEST(SeccompDecisions, AreThoseOfThePlainInterpreter) {
  Random r(1);
  int decided = 0;
  for (int round = 0; round < 1500; round++) {
    Ref<Filter> newest;
    for (uint32_t n = 1 + r.below(4); n > 0; n--) {
      auto f = Filter::make(random_program(r), 0);
      ASSERT_TRUE(f);
      ASSERT_TRUE((*f)->put_before(newest));
      newest = *f;
    }
    for (int i = 0; i < 30; i++) {
      const seccomp_data d = random_call(r);
      const Judgement want = expected(*newest, d), got = newest->judge(d),
                      plain = Decisions::judge_plainly(*newest, d);
      ASSERT_EQ(got.verdict, want.verdict) << "round " << round;
      ASSERT_EQ(got.by, want.by) << "round " << round;
      ASSERT_EQ(plain.verdict, want.verdict);
      ASSERT_EQ(plain.by, want.by);
      decided += want.by != nullptr;
    }
  }
  EXPECT_GT(decided, 5000);
}

// Where a run by number leaves off is where the rest begins: that may be anywhere.
TEST(SeccompDecisions, RunsBeginAtAnyInstruction) {
  Random r(3);
  for (int round = 0; round < 3000; round++) {
    const Program p = random_program(r);
    const FastProgram fast(p);
    const seccomp_data d = random_call(r);
    for (uint32_t pc = 0; pc < p.size(); pc++) {
      const Program rest(p.begin() + pc, p.end());
      ASSERT_EQ(fast.finish({.pc = pc}, d), run_plainly(rest, d)) << round << ' ' << pc;
    }
  }
}

// As much as the guest can do: any bytes at all. What is taken must run without harm.
TEST(SeccompDecisions, AnyBytesAreCheckedAndRun) {
  Random r(2);
  int taken = 0;
  for (int round = 0; round < 60'000; round++) {
    Program p(1 + r.below(6));
    for (sock_filter& f : p) {
      f.code = uint16_t(r.below(8) ? r.below(0xa0) : r.word());
      f.jt = uint8_t(r.below(r.below(2) ? 4 : 256)), f.jf = uint8_t(r.below(r.below(2) ? 4 : 256));
      f.k = r.word();
    }
    if (r.below(4)) p.back().code = BPF_RET | BPF_K;
    if (!check_program(p)) continue;
    taken++;
    const seccomp_data d = random_call(r);
    ASSERT_EQ(FastProgram(p).finish({}, d), run_plainly(p, d));
    Machine m;
    (void)run_by_number(p, m, uint32_t(d.nr));
    ASSERT_GE(counted_length(p), p.size() + 3);
  }
  EXPECT_GT(taken, 500);
}

TEST(SeccompDecisions, LongChainsAreLetGo) {
  Ref<Filter> newest;
  int n = 0;
  for (;; n++) {
    auto f = Filter::make({{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}, 0);
    ASSERT_TRUE(f);
    if (!(*f)->put_before(newest)) break;
    newest = *f;
    if (n % 64 == 0) {
      EXPECT_EQ(newest->judge({}).by, nullptr);
    }
  }
  EXPECT_EQ(n, 3641);  // As Linux has it: five instructions and four for each.
  EXPECT_EQ(newest->depth(), size_t(n));
  const size_t before = kernel_memory().used();
  newest.reset();
  EXPECT_LT(kernel_memory().used(), before);
}

}  // namespace
}  // namespace usk::seccomp
