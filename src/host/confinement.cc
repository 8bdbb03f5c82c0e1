#include "host/confinement.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/check.h"
#include "base/result.h"
#include "host/recorder.h"

namespace usk::host {
namespace {

using Code = std::vector<sock_filter>;
using Kind = ArgTest::Kind;

Confinement g_confinement = Confinement::kOff;
int g_record_fd = -1;
bool g_confined = false;

constexpr size_t kFar = 255;  // The longest jump of a comparison.

uint32_t offset_of(size_t arg, bool upper) {
  return uint32_t(offsetof(seccomp_data, args) + arg * 8 + (upper ? 4 : 0));
}
sock_filter load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }

void append(Code& to, const Code& code) { to.insert(to.end(), code.begin(), code.end()); }

// The tests of one rule: falls through when all hold. What does not goes to kFail, a distance that
// is filled in by rule_code().
class Tests {
 public:
  void half(uint8_t arg, bool upper, uint32_t value) {
    code_.push_back(load(offset_of(arg, upper)));
    fail_unless(BPF_JEQ, value);
  }
  void whole(uint8_t arg, uint64_t value) {
    half(arg, false, uint32_t(value));
    half(arg, true, uint32_t(value >> 32));
  }
  void one_of(const ArgTest& t) {
    code_.push_back(load(offset_of(t.arg, false)));
    for (size_t i = 0; i + 1 < t.count; i++) {
      code_.push_back(
          BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, t.values[i], uint8_t(t.count - 1 - i), 0));
    }
    fail_unless(BPF_JEQ, t.values[t.count - 1]);
  }
  void without(const ArgTest& t) {
    code_.push_back(load(offset_of(t.arg, false)));
    fail_if(BPF_JSET, t.values[0]);
  }
  void at_most(const ArgTest& t) {
    half(t.arg, true, 0);
    code_.push_back(load(offset_of(t.arg, false)));
    fail_if(BPF_JGT, t.values[0]);
  }
  void add(const ArgTest& t) {
    switch (t.kind) {
      case Kind::kNone: break;
      case Kind::kUnused:
        for (uint8_t arg = t.arg; arg < 6; arg++) whole(arg, cookies.words[arg]);
        break;
      case Kind::kCookie: whole(t.arg, cookies.words[t.arg]); break;
      case Kind::kHigh: half(t.arg, true, uint32_t(cookies.words[t.arg] >> 32)); break;
      case Kind::kOneOf: one_of(t); break;
      case Kind::kWithout: without(t); break;
      case Kind::kAtMost: at_most(t); break;
      case Kind::kOwnPid: half(t.arg, false, uint32_t(getpid())); break;
    }
  }
  // With its verdict behind it.
  Code finish() {
    code_.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    CHECK(code_.size() < kFar);
    for (const auto& [at, taken] : fails_) {
      (taken ? code_[at].jt : code_[at].jf) = uint8_t(code_.size() - at - 1);
    }
    return std::move(code_);
  }

 private:
  void fail_unless(uint16_t op, uint32_t k) {
    fails_.emplace_back(code_.size(), false);
    code_.push_back(BPF_JUMP(uint16_t(BPF_JMP | op | BPF_K), k, 0, 0));
  }
  void fail_if(uint16_t op, uint32_t k) {
    fails_.emplace_back(code_.size(), true);
    code_.push_back(BPF_JUMP(uint16_t(BPF_JMP | op | BPF_K), k, 0, 0));
  }
  Code code_;
  std::vector<std::pair<size_t, bool>> fails_;  // Whether it is the jump that is taken.
};

// A number and what is done for it.
struct Leaf {
  uint32_t nr;
  Code code;
};

std::vector<Leaf> leaves(Role role, uint32_t otherwise) {
  std::vector<Leaf> out;
  for (const HostCall& call : host_calls()) {
    if (!(call.roles & role)) continue;
    auto it = std::ranges::find(out, call.nr, &Leaf::nr);
    if (it == out.end()) it = out.insert(out.end(), Leaf{call.nr, {}});
    Tests tests;
    for (const ArgTest& t : call.tests) tests.add(t);
    append(it->code, tests.finish());
  }
  std::ranges::sort(out, {}, &Leaf::nr);
  for (Leaf& l : out) l.code.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
  return out;
}

// A binary tree of comparisons of the number, which is loaded.
Code tree(std::span<const Leaf> leaves, uint32_t otherwise) {
  Code code;
  if (leaves.size() == 1) {
    code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, leaves[0].nr, 1, 0));
    code.push_back(BPF_STMT(BPF_RET | BPF_K, otherwise));
    append(code, leaves[0].code);
    return code;
  }
  const size_t half = leaves.size() / 2;
  const Code low = tree(leaves.first(half), otherwise),
             high = tree(leaves.subspan(half), otherwise);
  code.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, leaves[half].nr, 0, 1));
  code.push_back(BPF_STMT(BPF_JMP | BPF_JA, uint32_t(low.size())));
  append(code, low);
  append(code, high);
  return code;
}

OrFailure<void> install(const Code& code) {
  // Linux before 5.16 takes a filter for a wish to run slowly: no guest code runs here.
  constexpr unsigned kFlags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  const sock_fprog program{uint16_t(code.size()), const_cast<sock_filter*>(code.data())};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, &program) != 0) {
    return fail(
        fmt::format("the host refuses the kernel process a seccomp filter: {}", strerror(errno)));
  }
  return {};
}

}  // namespace

std::vector<sock_filter> confinement_filter(Role role, Violation violation) {
  const uint32_t otherwise =
      violation == Violation::kKill ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_TRAP;
  Code code = {load(offsetof(seccomp_data, arch)),
               BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
               BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)};
  if (violation == Violation::kRecord) append(code, recorder_exceptions());
  code.push_back(load(offsetof(seccomp_data, nr)));
  const auto all = violation == Violation::kKill ? leaves(role, otherwise) : std::vector<Leaf>();
  append(code, all.empty() ? Code{BPF_STMT(BPF_RET | BPF_K, otherwise)} : tree(all, otherwise));
  return code;
}

void set_confinement(Confinement what, int record_fd) {
  g_confinement = what;
  g_record_fd = record_fd;
}

int recording() { return g_record_fd; }

bool is_confined() { return g_confined; }

OrFailure<void> confine(Role role) {
  if (g_confinement == Confinement::kOff) return {};
  if (g_confinement == Confinement::kRecord) TRY(start_recorder(role, g_record_fd));
  TRY(install(confinement_filter(
      role, g_confinement == Confinement::kOn ? Violation::kKill : Violation::kRecord)));
  g_confined = true;
  return {};
}

}  // namespace usk::host
