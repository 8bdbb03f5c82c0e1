// What every platform promises.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "boot/choose_platform.h"
#include "host/poll.h"
#include "host/process.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {
namespace {

constexpr uint64_t kCode = 0x400000;
constexpr uint64_t kData = 0x500000;

class PlatformTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    // A host that asks seccomp filters before the tracer, as Linux did before 4.8.
    auto p = GetParam() == std::string("old_host_ptrace") ? PtracePlatform::make(CallStop::kSignal)
                                                          : choose_platform(GetParam());
    ASSERT_TRUE(p.has_value()) << p.error().message;
    platform_ = std::move(*p);
  }

  NewSpace space_with_code(std::span<const uint8_t> code) {
    auto s = platform_->new_space();
    EXPECT_TRUE(s.has_value());
    Space& space = *s->space;
    EXPECT_TRUE(space.map(
        *s->thread,
        {.addr = kCode, .length = 4096, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE}));
    EXPECT_TRUE(space.map(
        *s->thread,
        {.addr = kData, .length = 4096, .prot = PROT_READ | PROT_WRITE, .flags = MAP_PRIVATE}));
    EXPECT_EQ(space.write(kCode, std::as_bytes(code)), code.size());
    EXPECT_TRUE(space.protect(*s->thread, kCode, 4096, PROT_READ | PROT_EXEC));
    s->thread->regs().rip = kCode;
    return std::move(*s);
  }

  Trap run(Thread& t, Thread::Mode mode = Thread::Mode::kRun) {
    std::optional<Trap> got;
    t.resume(mode);
    while (!got) {
      platform_->poll(-1, Deadline{}, [&](Thread& who, const Trap& trap) {
        EXPECT_EQ(&who, &t);
        got = trap;
      });
    }
    return *got;
  }

  std::unique_ptr<Platform> platform_;
};

TEST_P(PlatformTest, ReportsASystemCallWithoutMakingIt) {
  const uint8_t code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xcc};  // getpid; int3
  NewSpace s = space_with_code(code);
  EXPECT_EQ(run(*s.thread).kind, Trap::Kind::kSyscall);
  EXPECT_EQ(s.thread->regs().syscall_nr(), 39);
  s.thread->regs().set_result(1234);
  const Trap trap = run(*s.thread);
  EXPECT_EQ(trap.kind, Trap::Kind::kFault);
  EXPECT_EQ(trap.signal, SIGTRAP);
  EXPECT_EQ(s.thread->regs().rax, 1234u);
}

TEST_P(PlatformTest, TellsTheOldInterruptApart) {
  const uint8_t code[] = {0xb8, 20, 0, 0, 0, 0xcd, 0x80};  // int 0x80
  NewSpace s = space_with_code(code);
  EXPECT_EQ(run(*s.thread).kind, Trap::Kind::kSyscall32);
}

TEST_P(PlatformTest, ReportsVsyscallsAtTheirEntry) {
  // push ret address by call: mov $0xffffffffff600400,%rax; call *%rax
  const uint8_t code[] = {0x48, 0xc7, 0xc0, 0x00, 0x04, 0x60, 0xff, 0xff, 0xd0, 0xcc};
  NewSpace s = space_with_code(code);
  s.thread->regs().rsp = kData + 4096;
  const Trap trap = run(*s.thread);
  EXPECT_EQ(trap.kind, Trap::Kind::kVsyscall);
  EXPECT_EQ(trap.address, kVsyscallPage + 0x400);
  EXPECT_EQ(s.thread->regs().rsp, kData + 4096 - 8);
}

TEST_P(PlatformTest, ForkCopiesAndThreadsShare) {
  const uint8_t code[] = {0x0f, 0x05};
  NewSpace s = space_with_code(code);
  const uint32_t one = 1, two = 2;
  ASSERT_TRUE(s.space->write(kData, std::as_bytes(std::span(&one, 1))));
  auto child = platform_->fork(*s.thread);
  ASSERT_TRUE(child.has_value());
  auto thread = platform_->new_thread(*s.thread);
  ASSERT_TRUE(thread.has_value());
  ASSERT_TRUE(s.space->write(kData, std::as_bytes(std::span(&two, 1))));
  uint32_t seen = 0;
  ASSERT_TRUE(child->space->read(kData, std::as_writable_bytes(std::span(&seen, 1))));
  EXPECT_EQ(seen, 1u);
  EXPECT_EQ((*thread)->space().compare_exchange(**thread, kData, 2, 3), 2u);
  ASSERT_TRUE(s.space->read(kData, std::as_writable_bytes(std::span(&seen, 1))));
  EXPECT_EQ(seen, 3u);
  EXPECT_EQ(run(**thread).kind, Trap::Kind::kSyscall);
  EXPECT_EQ(run(*child->thread).kind, Trap::Kind::kSyscall);
  EXPECT_EQ(s.space->compare_exchange(*s.thread, 0x600000, 2, 3), Err(EFAULT));
}

// A checkpoint keeps that, and nothing of spaces that have not begun to.
TEST_P(PlatformTest, FutexesThatEndForGoodAreToldApart) {
  const uint8_t code[] = {0x0f, 0x05};
  NewSpace s = space_with_code(code);
  EXPECT_FALSE(s.space->ended_own_futexes_for_good());
  s.thread->own_futexes(0);
  EXPECT_FALSE(s.space->ended_own_futexes_for_good());
  const bool has_own = s.space->has_own_futexes();
  s.space->end_own_futexes(Space::Ended::kForNow);
  EXPECT_EQ(s.space->ended_own_futexes_for_now(), has_own);
  EXPECT_FALSE(s.space->ended_own_futexes_for_good());
  s.space->end_own_futexes(Space::Ended::kForGood);
  EXPECT_EQ(s.space->ended_own_futexes_for_good(), has_own);
  EXPECT_FALSE(s.space->ended_own_futexes_for_now());
}

TEST_P(PlatformTest, InterruptEndsALoop) {
  const uint8_t code[] = {0xeb, 0xfe};
  NewSpace s = space_with_code(code);
  s.thread->resume(Thread::Mode::kRun);
  s.thread->interrupt();
  bool stopped = false;
  while (!stopped) {
    platform_->poll(-1, Deadline{}, [&](Thread&, const Trap& trap) {
      stopped = trap.kind == Trap::Kind::kInterrupted;
    });
  }
  EXPECT_EQ(s.thread->regs().rip, kCode);
}

TEST_P(PlatformTest, CallsAreReportedWithTheirArguments) {
  const uint8_t code[] = {0x0f, 0x05, 0xcc};
  NewSpace s = space_with_code(code);
  Regs& r = s.thread->regs();
  r.rax = 321, r.rdi = 1, r.rsi = 2, r.rdx = 3, r.r10 = 4, r.r8 = 5, r.r9 = 6;
  const Trap trap = run(*s.thread);
  EXPECT_EQ(trap.kind, Trap::Kind::kSyscall);
  EXPECT_EQ(trap.nr, 321u);
  EXPECT_EQ(trap.args, (std::array<uint64_t, 6>{1, 2, 3, 4, 5, 6}));
  s.thread->set_result(-5);
  EXPECT_EQ(run(*s.thread).kind, Trap::Kind::kFault);
  EXPECT_EQ(s.thread->regs().result(), -5);
  EXPECT_EQ(s.thread->regs().r8, 5u);
}

TEST_P(PlatformTest, StepsOneInstruction) {
  const uint8_t code[] = {0x90, 0x90, 0x90};
  NewSpace s = space_with_code(code);
  const Trap trap = run(*s.thread, Thread::Mode::kStep);
  EXPECT_EQ(trap.kind, Trap::Kind::kFault);
  EXPECT_EQ(trap.signal, SIGTRAP);
  EXPECT_EQ(s.thread->regs().rip, kCode + 1);
}

// The hot call site is patched on the trap platform: nobody may see that, and code that jumps to
// its system call instruction works as before.
TEST_P(PlatformTest, AHotCallSiteStaysWhatItIs) {
  // 0: mov $39, %eax; 5: syscall; 7: dec %ebx; jnz 0; int3; 12: mov $40, %eax; jmp 5
  const uint8_t code[] = {0xb8, 39,   0,    0,  0, 0x0f, 0x05, 0xff, 0xcb, 0x75,
                          0xf5, 0xcc, 0xb8, 40, 0, 0,    0,    0xeb, 0xf2};
  NewSpace s = space_with_code(code);
  s.space->set_code_query([](uint64_t) { return true; });
  s.thread->regs().rbx = 20;
  for (int i = 0; i < 20; i++) {
    const Trap trap = run(*s.thread);
    ASSERT_EQ(trap.kind, Trap::Kind::kSyscall) << i;
    EXPECT_EQ(trap.nr, 39u);
    s.thread->set_result(0);
  }
  EXPECT_EQ(run(*s.thread).signal, SIGTRAP);
  std::array<uint8_t, sizeof code> seen;
  ASSERT_TRUE(s.space->read(kCode, std::as_writable_bytes(std::span(seen))));
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), code));
  ASSERT_TRUE(s.space->read_forced(kCode, std::as_writable_bytes(std::span(seen))));
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), code));
  s.thread->regs().rip = kCode + 12;
  s.thread->regs().rbx = 1;
  EXPECT_EQ(run(*s.thread).nr, 40u);
  s.thread->set_result(0);
  EXPECT_EQ(run(*s.thread).signal, SIGTRAP);
  // A breakpoint in the middle of it is one.
  const std::byte breakpoint{0xcc};
  ASSERT_TRUE(s.space->write_forced(kCode + 2, std::span(&breakpoint, 1)));
  ASSERT_TRUE(s.space->read(kCode, std::as_writable_bytes(std::span(seen))));
  EXPECT_EQ(seen[0], 0xb8);
  EXPECT_EQ(seen[2], 0xcc);
  EXPECT_EQ(seen[6], 0x05);
}

TEST_P(PlatformTest, TheFloatingPointStateGoesBothWays) {
  const uint8_t code[] = {0x0f, 0x05, 0x0f, 0x05};
  NewSpace s = space_with_code(code);
  run(*s.thread);
  auto state = s.thread->fpu_state();
  ASSERT_TRUE(state.has_value());
  ASSERT_GE(state->size(), 576u);
  (*state)[160] = std::byte(0x5a);  // xmm0
  (*state)[512] |= std::byte(2);    // ... is in use.
  ASSERT_TRUE(s.thread->set_fpu_state(*state));
  run(*s.thread);
  EXPECT_EQ((*s.thread->fpu_state())[160], std::byte(0x5a));
}

TEST_P(PlatformTest, AStubStoppedFromOutsideStaysStoppedUntilContinued) {
  const uint8_t code[] = {0xeb, 0xfe};
  NewSpace s = space_with_code(code);
  auto* space = dynamic_cast<PtraceSpace*>(s.space.get());
  if (!space) GTEST_SKIP() << "only a tracer is told";
  s.thread->resume(Thread::Mode::kRun);
  host::kill_process(space->pid(), SIGSTOP);
  int traps = 0;
  auto count = [&](Thread&, const Trap&) { traps++; };
  const auto soon = [] { return Deadline{host::monotonic_now() + 50'000'000}; };
  platform_->poll(-1, soon(), count);
  platform_->poll(-1, soon(), count);
  EXPECT_EQ(traps, 0);
  host::kill_process(space->pid(), SIGCONT);
  while (traps == 0) platform_->poll(-1, Deadline{}, count);
  EXPECT_EQ(s.thread->regs().rip, kCode);
}

TEST_P(PlatformTest, AKilledStubIsLost) {
  const uint8_t code[] = {0xeb, 0xfe};
  NewSpace s = space_with_code(code);
  s.thread->resume(Thread::Mode::kRun);
  pid_t pid = 0;
  if (auto* p = dynamic_cast<PtraceSpace*>(s.space.get())) pid = p->pid();
  if (auto* t = dynamic_cast<TrapSpace*>(s.space.get())) pid = t->pid();
  host::kill_process(pid, SIGKILL);
  std::optional<Trap> got;
  while (!got) {
    platform_->poll(-1, Deadline{}, [&](Thread&, const Trap& trap) { got = trap; });
  }
  EXPECT_EQ(got->kind, Trap::Kind::kLost);
  // What it is asked from now on fails, or ends at once.
  EXPECT_FALSE(s.space->unmap(*s.thread, kData, 4096) && s.thread->fpu_state());
}

TEST_P(PlatformTest, TheStubsOwnPagesAreOutOfReach) {
  const uint8_t code[] = {0xeb, 0xfe};
  NewSpace s = space_with_code(code);
  EXPECT_EQ(s.space->unmap(*s.thread, kGuestEnd, 4096), Err(EINVAL));
  EXPECT_EQ(s.space->unmap(*s.thread, kGuestEnd - 4096, 8192), Err(EINVAL));
  EXPECT_EQ(s.space->unmap(*s.thread, 4096, UINT64_MAX), Err(EINVAL));
  std::byte byte{};
  for (uint64_t addr : {kGuestEnd, kGuestEnd + 0x1000, kGuestEnd + 0x2000, UINT64_MAX}) {
    EXPECT_EQ(s.space->read(addr, std::span(&byte, 1)), Err(EFAULT));
    EXPECT_EQ(s.space->write(addr, std::span(&byte, 1)), Err(EFAULT));
    EXPECT_EQ(s.space->read_forced(addr, std::span(&byte, 1)), Err(EFAULT));
    EXPECT_EQ(s.space->write_forced(addr, std::span(&byte, 1)), Err(EFAULT));
  }
}

INSTANTIATE_TEST_SUITE_P(All, PlatformTest, testing::Values("ptrace", "old_host_ptrace", "trap"),
                         [](const auto& i) { return std::string(i.param); });

}  // namespace
}  // namespace usk::platform
