// The kernel process's filter, worked out for every number and tried in child processes.
#include "host/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <random>
#include <set>

#include "base/check.h"
#include "host/file_io.h"
#include "host/filter_machine.h"
#include "host/process.h"

namespace usk::host {
namespace {

using Args = uint64_t[6];

uint32_t verdict(const std::vector<sock_filter>& f, uint32_t nr, const Args& args,
                 uint32_t arch = AUDIT_ARCH_X86_64) {
  seccomp_data data{.nr = int(nr), .arch = arch, .instruction_pointer = 0x1234, .args = {}};
  std::copy(std::begin(args), std::end(args), data.args);
  return run_filter(f, data).value_or(0x12345678);
}

// Arguments that the rule permits, and near misses of them.
std::vector<std::array<uint64_t, 6>> interesting(const HostCall& call, std::mt19937_64& random) {
  using Kind = ArgTest::Kind;
  std::array<uint64_t, 6> good;
  for (uint64_t& a : good) a = random();
  for (const ArgTest& t : call.tests) {
    switch (t.kind) {
      case Kind::kNone: break;
      case Kind::kUnused: std::copy(cookies.words + t.arg, cookies.words + 6, &good[t.arg]); break;
      case Kind::kCookie: good[t.arg] = cookies.words[t.arg]; break;
      case Kind::kHigh: good[t.arg] = guarded_int(t.arg, 7); break;
      case Kind::kOneOf: good[t.arg] = t.values[random() % t.count]; break;
      case Kind::kWithout: good[t.arg] &= ~uint64_t(t.values[0]); break;
      case Kind::kAtMost: good[t.arg] = t.values[0]; break;
      case Kind::kOwnPid: good[t.arg] = uint64_t(getpid()); break;
    }
  }
  std::vector<std::array<uint64_t, 6>> all = {good};
  for (size_t arg = 0; arg < 6; arg++) {
    for (uint64_t change : {uint64_t(1), uint64_t(1) << 31, uint64_t(1) << 32, ~uint64_t(0)}) {
      all.push_back(good);
      all.back()[arg] ^= change;
      all.push_back(good);
      all.back()[arg] += change;
    }
  }
  return all;
}

bool permitted(Role role, uint32_t nr, const Args& args) {
  for (const HostCall& call : host_calls()) {
    if (call.nr == nr && permits(call, role, args)) return true;
  }
  return false;
}

// How a child ends that is confined and then does this.
int confined(const std::function<void()>& f, Role role = kKernel) {
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGSEGV, SIG_DFL);  // A sanitizer has a handler of its own, which would report it.
    choose_cookies();
    set_confinement(Confinement::kOn);
    if (!confine(role)) _exit(99);
    f();
    guarded(SYS_exit_group, 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

bool killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS; }

TEST(Confinement, FilterSaysWhatTheTableSays) {
  std::mt19937_64 random(1);
  for (const Role role : {kKernel, kTerminal, kDisk}) {
    const auto filter = confinement_filter(role, Violation::kKill);
    EXPECT_LT(filter.size(), size_t(BPF_MAXINSNS));
    for (const HostCall& call : host_calls()) {
      for (const auto& a : interesting(call, random)) {
        Args args;
        std::copy(a.begin(), a.end(), args);
        const bool pass = verdict(filter, call.nr, args) == SECCOMP_RET_ALLOW;
        EXPECT_EQ(pass, permitted(role, call.nr, args)) << call.name;
        EXPECT_EQ(verdict(filter, call.nr, args, AUDIT_ARCH_I386), SECCOMP_RET_KILL_PROCESS);
      }
    }
  }
}

TEST(Confinement, NothingElsePasses) {
  std::set<uint32_t> listed;
  for (const HostCall& call : host_calls()) listed.insert(call.nr);
  const auto filter = confinement_filter(kKernel, Violation::kKill);
  const Args args = {1, 2, 3, 4, 5, 6};
  constexpr uint32_t kX32 = 0x40000000;
  for (uint32_t nr = 0; nr < 2000; nr++) {
    if (!listed.contains(nr)) {
      EXPECT_EQ(verdict(filter, nr, args), SECCOMP_RET_KILL_PROCESS) << nr;
    }
    EXPECT_EQ(verdict(filter, nr | kX32, args), SECCOMP_RET_KILL_PROCESS) << nr;
  }
  EXPECT_EQ(verdict(filter, UINT32_MAX, args), SECCOMP_RET_KILL_PROCESS);
}

TEST(Confinement, PermitsItsOwnCalls) {
  EXPECT_EQ(confined([] {
              auto file = memory_file("test");
              CHECK(file && write(file->get(), std::as_bytes(std::span("x"))));
              free(malloc(8 << 20));
            }),
            0);
}

TEST(Confinement, KillsWhoHasNoCookies) {
  EXPECT_TRUE(killed(confined([] { ::close(100); })));
  EXPECT_TRUE(killed(confined([] { ::kill(getppid(), 0); })));
  EXPECT_TRUE(killed(confined([] { (void)!::open("/etc/passwd", O_RDONLY); })));
  EXPECT_TRUE(killed(confined([] { ::syscall(SYS_openat2, 1, 2, 3, 4, 5, 6); })));
}

TEST(Confinement, HasNoWayToRunOrReachMore) {
  EXPECT_TRUE(killed(confined([] { ::execl("/bin/true", "true", nullptr); })));
  EXPECT_TRUE(killed(confined([] { (void)guarded(SYS_execveat, 1, "", nullptr, nullptr, 0); })));
  EXPECT_TRUE(killed(confined([] { (void)fork(); })));
  EXPECT_TRUE(killed(confined([] { (void)::socket(AF_UNIX, SOCK_STREAM, 0); })));
  EXPECT_TRUE(killed(confined([] { ::signal(SIGTERM, SIG_IGN); })));
  EXPECT_TRUE(killed(confined([] { (void)guarded(SYS_kill, getppid(), SIGTERM); })));
  EXPECT_TRUE(killed(confined(
      [] { ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); })));
  EXPECT_TRUE(killed(confined([] {
    void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ::mprotect(page, 4096, PROT_READ | PROT_EXEC);
  })));
  EXPECT_TRUE(killed(confined([] { asm volatile("int $0x80" : : "a"(20) : "memory"); })));
}

TEST(Confinement, CookiesCannotBeChanged) {
  const int status = confined([] { const_cast<Cookies&>(cookies).words[0]++; });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

TEST(Confinement, HelpersDoNothingElse) {
  EXPECT_EQ(confined([] {}, kTerminal), 0);
  EXPECT_TRUE(killed(confined([] { (void)memory_file("test"); }, kTerminal)));
  EXPECT_EQ(confined([] { free(malloc(64 << 10)); }, kDisk), 0);
  EXPECT_TRUE(killed(confined([] { (void)memory_file("test"); }, kDisk)));
}

}  // namespace
}  // namespace usk::host
