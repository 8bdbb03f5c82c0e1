// Reads the filter of running stubs back from the host (ptrace(2), PTRACE_SECCOMP_GET_FILTER) and
// says from the program itself what it lets through.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <set>

#include "host/filter_machine.h"
#include "host/poll.h"
#include "platform/trap/layout.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {
namespace {

using Filter = std::vector<sock_filter>;

using Args = std::array<uint64_t, 6>;
constexpr uint32_t kAllow = SECCOMP_RET_ALLOW, kAsk = SECCOMP_RET_USER_NOTIF,
                   kTrap = SECCOMP_RET_TRAP;

bool in_guest(uint64_t addr, uint64_t length) {
  return addr >= kGuestStart && addr <= kGuestEnd && length <= kGuestEnd - addr;
}

// docs/decisions/0008: what a call from the blob comes to.
uint32_t documented(uint32_t nr, const Args& a) {
  const uint32_t in_range = in_guest(a[0], a[1]) ? kAllow : kTrap;
  switch (nr) {
    case SYS_rt_sigreturn:
    case SYS_sched_yield:
    case SYS_sigaltstack:
    case SYS_rseq:
    case SYS_exit:
    case SYS_exit_group: return kAllow;
    case SYS_futex: {
      constexpr std::array kPlain = {FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAKE_OP, FUTEX_WAIT_BITSET,
                                     FUTEX_WAKE_BITSET};
      const int op = int(a[1]) & FUTEX_CMD_MASK;
      if (!(a[1] & FUTEX_PRIVATE_FLAG) && uint32_t(a[1]) != FUTEX_WAIT &&
          uint32_t(a[1]) != FUTEX_WAKE) {
        return kTrap;
      }
      return std::ranges::find(kPlain, op) != kPlain.end() ? kAllow : kTrap;
    }
    case SYS_munmap:
    case SYS_mprotect: return in_range;
    case SYS_madvise:
      if (a[2] == MADV_DONTFORK && a[0] >= USK_AREAS && a[0] >> 32 == USK_AREAS >> 32) {
        return uint32_t(a[3]) == 0 ? kAllow : kAsk;
      }
      return a[2] < 100 ? in_range : kTrap;
    case SYS_mmap: {
      constexpr uint64_t kHarmless = MAP_NORESERVE | MAP_STACK | MAP_POPULATE | MAP_NONBLOCK;
      if (a[3] >> 32) return kTrap;
      const uint64_t flags = a[3] & ~kHarmless;
      const bool everybodys = a[4] >= USK_STUB_FILES && a[4] < USK_STUB_FILES_END;
      const bool own = flags == (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) ||
                       (flags == (MAP_PRIVATE | MAP_FIXED) && everybodys);
      return own ? in_range : kAsk;
    }
    case USK_NR_NOTIFY:
    case SYS_clone:
    case SYS_mremap:
    case SYS_msync:
    case SYS_membarrier:
    case SYS_close:
    case SYS_prctl: return kAsk;
    default: return kTrap;
  }
}

std::vector<uint64_t> words_around(std::initializer_list<uint64_t> values) {
  std::vector<uint64_t> out;
  for (uint64_t v : values) {
    for (int64_t d : {-0x1000, -1, 0, 1, 0x1000}) out.push_back(v + uint64_t(d));
  }
  return out;
}

const std::vector<uint64_t>& addresses() {
  static const auto v = words_around(
      {0, kGuestStart, 0x100000000, 0xffffffff, USK_TABLE, kGuestEnd, kGuestEnd - 0x100000000,
       USK_BLOB_END, USK_POLICY, USK_AREAS, USK_THUNKS, USK_STUB_TOP, kGuestEnd & 0xffffffff,
       0x7fff00000000, 0x800000000000, uint64_t(1) << 63, UINT64_MAX});
  return v;
}
// Also lengths that end at each of the addresses, however they get there.
std::vector<uint64_t> lengths(uint64_t from) {
  auto v = addresses();
  for (uint64_t to : addresses()) v.push_back(to - from);
  return v;
}

class FilterTest : public testing::Test {
 protected:
  void SetUp() override {
    auto p = TrapPlatform::make();
    ASSERT_TRUE(p.has_value()) << p.error().message;
    platform_ = std::move(*p);
    filter_ = read_filters(*looping_space().thread);
  }

  // A thread that runs guest code for ever: one that is parked cannot be stopped.
  NewSpace looping_space() {
    constexpr uint8_t kLoop[] = {0xeb, 0xfe};
    constexpr uint64_t kCode = 0x400000;
    auto s = platform_->new_space();
    EXPECT_TRUE(s.has_value());
    EXPECT_TRUE(s->space->map(
        *s->thread,
        {.addr = kCode, .length = 4096, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE}));
    EXPECT_EQ(s->space->write(kCode, std::as_bytes(std::span(kLoop))), sizeof kLoop);
    EXPECT_TRUE(s->space->protect(*s->thread, kCode, 4096, PROT_READ | PROT_EXEC));
    s->thread->regs().rip = kCode;
    return std::move(*s);
  }

  // The only filter of the thread, which is set running.
  Filter read_filters(Thread& t) {
    t.resume(Thread::Mode::kRun);
    const pid_t tid = static_cast<TrapThread&>(t).tid();
    Filter filter;
    if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) < 0) {
      refused_ = errno == EPERM;
      EXPECT_TRUE(refused_) << strerror(errno);
      return filter;
    }
    int status = 0;
    EXPECT_EQ(ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr), 0);
    EXPECT_EQ(waitpid(tid, &status, __WALL), tid);
    EXPECT_TRUE(WIFSTOPPED(status)) << status;
    const long size = ptrace(PTRACE_SECCOMP_GET_FILTER, tid, 0, nullptr);
    if (size < 0) {
      refused_ = errno == EACCES || errno == EIO;  // No CAP_SYS_ADMIN, or a kernel without it.
      EXPECT_TRUE(refused_) << strerror(errno);
    } else {
      filter.resize(size_t(size));
      EXPECT_EQ(ptrace(PTRACE_SECCOMP_GET_FILTER, tid, 0, filter.data()), size);
      EXPECT_EQ(ptrace(PTRACE_SECCOMP_GET_FILTER, tid, 1, nullptr), -1) << "a second filter";
    }
    ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
    return filter;
  }

  uint32_t verdict(uint32_t nr, const Args& args, uint64_t ip = USK_BLOB_BASE + 0x100,
                   uint32_t arch = AUDIT_ARCH_X86_64) {
    seccomp_data d{.nr = int(nr), .arch = arch, .instruction_pointer = ip, .args = {}};
    std::copy(args.begin(), args.end(), d.args);
    auto v = host::run_filter(filter_, d);
    EXPECT_TRUE(v.has_value()) << "no verdict for call " << nr;
    return v.value_or(SECCOMP_RET_ALLOW);
  }
  // Against the documented list; false, and a message, when it differs.
  bool check(uint32_t nr, const Args& a) {
    const uint32_t is = verdict(nr, a), should = documented(nr, a);
    if (is == should) return true;
    ADD_FAILURE() << fmt::format(
        "call {}({:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {:#x}): {:#x}, not {:#x}", nr, a[0], a[1], a[2],
        a[3], a[4], a[5], is, should);
    return false;
  }

  std::unique_ptr<Platform> platform_;
  Filter filter_;
  bool refused_ = false;
};

#define NEEDS_FILTER() \
  if (refused_)        \
  GTEST_SKIP() << "reading a filter back takes CAP_SYS_ADMIN and no filter of one's own"

// Numbers of calls, of those that no kernel has, and of the other conventions.
std::vector<uint32_t> numbers() {
  std::vector<uint32_t> v;
  for (uint32_t nr = 0; nr <= 600; nr++) {
    v.insert(v.end(), {nr, 0x40000000 | nr, 0x80000000 | nr});
  }
  for (uint32_t nr : {USK_NR_NOTIFY - 1, USK_NR_NOTIFY, USK_NR_NOTIFY + 1, 0xffff, 0x10000}) {
    v.push_back(uint32_t(nr));
  }
  v.insert(v.end(), {0x7fffffff, 0xffffffff});
  return v;
}

TEST_F(FilterTest, AllowsExactlyWhatIsDocumented) {
  NEEDS_FILTER();
  constexpr uint64_t kEdges[] = {0, 1, 9, 10, 100, 0xffffffff, 0x100000001, UINT64_MAX};
  std::set<uint32_t> allowed, asked;
  for (uint32_t nr : numbers()) {
    for (uint64_t first : {uint64_t(0), uint64_t(0x400000), kGuestEnd - 0x1000, kGuestEnd}) {
      for (uint64_t second : kEdges) {
        for (uint64_t third : kEdges) {
          for (uint64_t fourth : {uint64_t(0), uint64_t(0x32), uint64_t(0x11), uint64_t(0x22)}) {
            const Args a = {first, second, third, fourth, 0, 0};
            if (!check(nr, a)) return;
            if (documented(nr, a) == kAllow) allowed.insert(nr);
            if (documented(nr, a) == kAsk) asked.insert(nr);
          }
        }
      }
    }
  }
  EXPECT_EQ(allowed, (std::set<uint32_t>{SYS_mmap, SYS_mprotect, SYS_munmap, SYS_rt_sigreturn,
                                         SYS_sched_yield, SYS_madvise, SYS_exit, SYS_sigaltstack,
                                         SYS_futex, SYS_exit_group, SYS_rseq}));
  EXPECT_EQ(asked, (std::set<uint32_t>{SYS_mmap, SYS_close, SYS_mremap, SYS_msync, SYS_clone,
                                       SYS_prctl, SYS_membarrier, USK_NR_NOTIFY}));
}

// The comparison of 64-bit sums is made of 32-bit halves: every carry and border is tried.
TEST_F(FilterTest, RangesStayWithinTheGuest) {
  NEEDS_FILTER();
  for (uint64_t at : addresses()) {
    for (uint64_t length : lengths(at)) {
      const Args range = {at, length};
      if (!check(SYS_munmap, range) || !check(SYS_mprotect, range)) return;
      for (uint64_t advice : {4, 10, 11, 99, 100, 101, 102}) {
        for (uint64_t high : {uint64_t(0), uint64_t(1) << 32}) {
          if (!check(SYS_madvise, {at, length, advice | high})) return;
          if (!check(SYS_madvise, {at, length, advice | high, USK_ASKS | high})) return;
        }
      }
      for (uint64_t flags : {0x32, 0x4032, 0x8032, 0x20032, 0x1c032, 0x22, 0x12, 0x31, 0x33, 0x11,
                             0x132, 0x12, 0x10012, 0x11, 0x40032, 0x100032, 0x100022, 0x80032}) {
        for (uint64_t high : {uint64_t(0), uint64_t(1) << 32}) {
          for (uint64_t file :
               {UINT64_MAX, uint64_t(0), uint64_t(USK_STUB_FILE_FD), uint64_t(USK_STUB_FILES - 1),
                uint64_t(USK_STUB_FILES), uint64_t(USK_STUB_FILES_END - 1),
                uint64_t(USK_STUB_FILES_END), uint64_t(USK_STUB_FILES) | uint64_t(1) << 32}) {
            if (!check(SYS_mmap, {at, length, 3, flags | high, file, 0})) return;
          }
        }
      }
    }
  }
}

TEST_F(FilterTest, RandomCallsAreAnsweredAsDocumented) {
  NEEDS_FILTER();
  std::mt19937_64 random(20261122);
  const auto pick = [&](const auto& from) { return from[random() % from.size()]; };
  constexpr std::array kCalls = {SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mmap, SYS_futex};
  for (int i = 0; i < 300'000; i++) {
    Args a;
    for (uint64_t& v : a) {
      v = pick(addresses()) + (random() % 3 ? 0 : random() >> (random() % 64));
    }
    if (random() % 2) a[1] = pick(addresses()) - a[0];
    if (random() % 2) a[2] %= 128;
    if (random() % 2) a[3] = 0x32 ^ (uint64_t(1) << random() % 64);
    const auto nr = random() % 8 ? uint32_t(pick(kCalls)) : uint32_t(random() >> (random() % 64));
    if (!check(nr, a)) return;
  }
}

TEST_F(FilterTest, EverythingFromElsewhereTraps) {
  NEEDS_FILTER();
  const uint64_t outside[] = {0,
                              0x400000,
                              USK_TABLE,
                              USK_BLOB_BASE - 1,
                              USK_BLOB_END,
                              USK_POLICY,
                              USK_THUNKS + 0x60,
                              USK_THUNKS_END,
                              USK_AREAS + 0x100,
                              USK_STUB_TOP - 0x1000,
                              USK_BLOB_BASE & 0xffffffff,
                              (USK_BLOB_BASE & 0xffffffff) + 0x100,
                              USK_BLOB_BASE + 0x100000100,
                              USK_BLOB_BASE - 0xffffff00,
                              USK_BLOB_BASE | uint64_t(1) << 63,
                              0xffffffffff600000,
                              UINT64_MAX};
  for (uint32_t nr : numbers()) {
    for (const Args& a : {Args{}, Args{0x400000, 4096, 3, 0x32}, Args{1, 9}}) {
      for (uint64_t ip : outside) {
        ASSERT_EQ(verdict(nr, a, ip), kTrap) << nr << " from " << std::hex << ip;
      }
      for (uint32_t arch : {uint32_t(AUDIT_ARCH_I386), uint32_t(AUDIT_ARCH_ARM),
                            uint32_t(AUDIT_ARCH_AARCH64), 0u, 0xffffffffu}) {
        ASSERT_EQ(verdict(nr, a, USK_BLOB_BASE + 0x100, arch), kTrap) << nr;
      }
    }
  }
  for (uint64_t ip : {uint64_t(USK_BLOB_BASE), uint64_t(USK_BLOB_END) - 1}) {
    EXPECT_EQ(verdict(SYS_sched_yield, {}, ip), kAllow);
  }
}

TEST_F(FilterTest, HasNoOtherVerdicts) {
  NEEDS_FILTER();
  for (const sock_filter& i : filter_) {
    if (BPF_CLASS(i.code) != BPF_RET) continue;
    EXPECT_EQ(BPF_RVAL(i.code), BPF_K);
    EXPECT_TRUE(i.k == kAllow || i.k == kAsk || i.k == kTrap) << std::hex << i.k;
  }
}

TEST_F(FilterTest, IsThatOfEveryStubThread) {
  NEEDS_FILTER();
  const auto same = [&](const Filter& other) {
    return other.size() == filter_.size() &&
           memcmp(other.data(), filter_.data(), other.size() * sizeof(sock_filter)) == 0;
  };
  NewSpace first = looping_space();
  auto thread = platform_->new_thread(*first.thread);
  auto child = platform_->fork(*first.thread);
  ASSERT_TRUE(thread && child);
  auto thread_of_child = platform_->new_thread(*child->thread);
  auto grandchild = platform_->fork(*child->thread);
  NewSpace second = looping_space();  // What an exec(2) starts with.
  ASSERT_TRUE(thread_of_child && grandchild);
  for (Thread* t : {first.thread.get(), thread->get(), child->thread.get(), thread_of_child->get(),
                    grandchild->thread.get(), second.thread.get()}) {
    EXPECT_TRUE(same(read_filters(*t)));
  }
}

}  // namespace
}  // namespace usk::platform
