#include "host/trap_filter.h"

#include <linux/audit.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <cstddef>

namespace usk::host {
namespace {

enum Verdict { kAllow, kAsk, kTrap, kVerdicts };

// A small assembler: jumps go forward to places that are bound later.
class Program {
 public:
  using Label = int;
  Label label() { return next_label_++; }
  Label verdict(Verdict v) { return v; }

  void add(uint16_t code, uint32_t k = 0) { code_.push_back({code, 0, 0, k}); }
  void load(size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, uint32_t(offset)); }
  void load_arg(int i, bool high) { load(offsetof(seccomp_data, args) + i * 8 + (high ? 4 : 0)); }
  // Goes to `yes` when the comparison of A with k (or X) holds, else on.
  void jump_if(uint16_t op, uint32_t k, Label yes) { jump(op, k, yes, kNext); }
  void jump_unless(uint16_t op, uint32_t k, Label no) { jump(op, k, kNext, no); }
  void bind(Label l) { places_.emplace_back(l, code_.size()); }

  std::vector<sock_filter> finish() {
    static constexpr uint32_t kAnswers[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF,
                                            SECCOMP_RET_TRAP};
    for (int v = 0; v < kVerdicts; v++) {
      bind(v);
      add(BPF_RET | BPF_K, kAnswers[v]);
    }
    for (const Jump& j : jumps_) {
      code_[j.at].jt = distance(j.at, j.yes);
      code_[j.at].jf = distance(j.at, j.no);
    }
    return std::move(code_);
  }

 private:
  static constexpr Label kNext = -1;
  struct Jump {
    size_t at;
    Label yes, no;
  };
  void jump(uint16_t op, uint32_t k, Label yes, Label no) {
    jumps_.push_back({code_.size(), yes, no});
    add(uint16_t(BPF_JMP | op), k);
  }
  uint8_t distance(size_t from, Label to) const {
    if (to == kNext) return 0;
    for (auto& [label, at] : places_) {
      if (label == to && at > from) return uint8_t(at - from - 1);
    }
    return 0;
  }

  std::vector<sock_filter> code_;
  std::vector<Jump> jumps_;
  std::vector<std::pair<Label, size_t>> places_;
  Label next_label_ = kVerdicts;
};

constexpr uint32_t high(uint64_t v) { return uint32_t(v >> 32); }
constexpr uint32_t low(uint64_t v) { return uint32_t(v); }

// SIGSYS unless [args[0], args[0] + args[1]) lies within the guest range.
void check_range(Program& p, const TrapFilter& f) {
  const auto trap = p.verdict(kTrap);
  constexpr uint16_t kGreater = BPF_JGT | BPF_K;
  const auto above_start = p.label();
  p.load_arg(0, true);
  p.jump_if(kGreater, high(f.guest_end), trap);
  p.jump_if(kGreater, high(f.guest_start), above_start);
  p.load_arg(0, false);
  p.jump_unless(BPF_JGE | BPF_K, low(f.guest_start), trap);
  p.bind(above_start);
  p.load_arg(1, true);
  p.jump_if(kGreater, high(f.guest_end), trap);
  // The sum in two halves: the low one in M[0], its carry in M[1].
  const auto no_carry = p.label(), summed = p.label();
  p.load_arg(0, false);
  p.add(BPF_MISC | BPF_TAX);
  p.load_arg(1, false);
  p.add(BPF_ALU | BPF_ADD | BPF_X);
  p.add(BPF_ST, 0);
  p.jump_if(BPF_JGE | BPF_X, 0, no_carry);
  p.add(BPF_LD | BPF_IMM, 1);
  p.jump_if(BPF_JEQ | BPF_K, 1, summed);
  p.bind(no_carry);
  p.add(BPF_LD | BPF_IMM, 0);
  p.bind(summed);
  p.add(BPF_MISC | BPF_TAX);
  p.load_arg(0, true);
  p.add(BPF_ALU | BPF_ADD | BPF_X);
  p.add(BPF_MISC | BPF_TAX);
  p.load_arg(1, true);
  p.add(BPF_ALU | BPF_ADD | BPF_X);
  p.jump_if(kGreater, high(f.guest_end), trap);
  p.jump_unless(BPF_JEQ | BPF_K, high(f.guest_end), p.verdict(kAllow));
  p.add(BPF_LD | BPF_MEM, 0);
  p.jump_if(kGreater, low(f.guest_end), trap);
  p.jump_if(BPF_JGE | BPF_K, 0, p.verdict(kAllow));
}

void check_code(Program& p, const TrapFilter& f) {
  const auto trap = p.verdict(kTrap);
  p.load(offsetof(seccomp_data, arch));
  p.jump_unless(BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, trap);
  p.load(offsetof(seccomp_data, instruction_pointer) + 4);
  p.jump_unless(BPF_JEQ | BPF_K, high(f.code), trap);
  p.load(offsetof(seccomp_data, instruction_pointer));
  p.jump_unless(BPF_JGE | BPF_K, low(f.code), trap);
  p.jump_if(BPF_JGE | BPF_K, low(f.code_end), trap);
}

// Private memory in place may be mapped, anonymous or of the files that are everybody's; every
// other mapping is asked for.
void check_mmap(Program& p, const TrapFilter& f, Program::Label range) {
  constexpr uint32_t kHarmless = MAP_NORESERVE | MAP_STACK | MAP_POPULATE | MAP_NONBLOCK;
  p.load_arg(3, true);
  p.jump_unless(BPF_JEQ | BPF_K, 0, p.verdict(kTrap));
  p.load_arg(3, false);
  p.add(BPF_ALU | BPF_AND | BPF_K, ~kHarmless);
  p.jump_if(BPF_JEQ | BPF_K, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, range);
  p.jump_unless(BPF_JEQ | BPF_K, MAP_PRIVATE | MAP_FIXED, p.verdict(kAsk));
  p.load_arg(4, true);
  p.jump_unless(BPF_JEQ | BPF_K, 0, p.verdict(kAsk));
  p.load_arg(4, false);
  p.jump_unless(BPF_JGE | BPF_K, f.files, p.verdict(kAsk));
  p.jump_if(BPF_JGE | BPF_K, f.files_end, p.verdict(kAsk));
  p.jump_if(BPF_JGE | BPF_K, 0, range);
}

// Advice that asks for privileges (poisoning pages) is out; areas may only be kept from children,
// and where the fourth argument is set it is to be known that they are.
void check_madvise(Program& p, const TrapFilter& f) {
  const auto range = p.label();
  p.load_arg(2, true);
  p.jump_unless(BPF_JEQ | BPF_K, 0, p.verdict(kTrap));
  p.load_arg(2, false);
  p.jump_if(BPF_JGE | BPF_K, 100, p.verdict(kTrap));  // MADV_HWPOISON and beyond
  p.jump_unless(BPF_JEQ | BPF_K, MADV_DONTFORK, range);
  p.load_arg(0, true);
  p.jump_unless(BPF_JEQ | BPF_K, high(f.areas), range);
  p.load_arg(0, false);
  p.jump_unless(BPF_JGE | BPF_K, low(f.areas), range);
  p.load_arg(3, false);
  p.jump_if(BPF_JEQ | BPF_K, 0, p.verdict(kAllow));
  p.jump_if(BPF_JGE | BPF_K, 0, p.verdict(kAsk));
  p.bind(range);
}

// Sleeping and waking only: the priority-inheriting operations look other threads of the host up by
// their numbers. Nobody moves sleepers: those at a bell, which all stubs share, to elsewhere,
// least.
void check_futex(Program& p) {
  const auto trap = p.verdict(kTrap);
  p.load_arg(1, false);  // The host takes it for an int.
  p.jump_if(BPF_JEQ | BPF_K, FUTEX_WAIT, p.verdict(kAllow));
  p.jump_if(BPF_JEQ | BPF_K, FUTEX_WAKE, p.verdict(kAllow));
  p.jump_unless(BPF_JSET | BPF_K, FUTEX_PRIVATE_FLAG, trap);
  p.add(BPF_ALU | BPF_AND | BPF_K, uint32_t(~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)));
  p.jump_if(BPF_JGT | BPF_K, FUTEX_WAKE_BITSET, trap);
  for (uint32_t operation : {FUTEX_FD, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, FUTEX_LOCK_PI,
                             FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI}) {
    p.jump_if(BPF_JEQ | BPF_K, operation, trap);
  }
  p.jump_if(BPF_JGE | BPF_K, 0, p.verdict(kAllow));
}

}  // namespace

std::vector<sock_filter> trap_filter(const TrapFilter& f) {
  Program p;
  const auto mmap = p.label(), madvise = p.label(), range = p.label(), futex = p.label();
  check_code(p, f);
  p.load(offsetof(seccomp_data, nr));
  p.jump_if(BPF_JEQ | BPF_K, SYS_futex, futex);  // First: the most frequent.
  for (uint32_t nr : f.allowed) p.jump_if(BPF_JEQ | BPF_K, nr, p.verdict(kAllow));
  for (uint32_t nr : f.asked) p.jump_if(BPF_JEQ | BPF_K, nr, p.verdict(kAsk));
  p.jump_if(BPF_JEQ | BPF_K, SYS_mmap, mmap);
  p.jump_if(BPF_JEQ | BPF_K, SYS_madvise, madvise);
  p.jump_if(BPF_JEQ | BPF_K, SYS_munmap, range);
  p.jump_if(BPF_JEQ | BPF_K, SYS_mprotect, range);
  p.jump_if(BPF_JGE | BPF_K, 0, p.verdict(kTrap));
  p.bind(futex);
  check_futex(p);
  p.bind(mmap);
  check_mmap(p, f, range);
  p.bind(madvise);
  check_madvise(p, f);
  p.bind(range);
  check_range(p, f);
  return p.finish();
}

}  // namespace usk::host
