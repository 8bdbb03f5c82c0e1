// The memory that a stub thread and the kernel process share. Everything in it may be changed by
// the guest at any moment: the kernel process copies each value once and checks it.
#pragma once
#include <cstddef>
#include <cstdint>

#include "platform/trap/layout.h"

namespace usk::trap {

// What a stub thread tells: the kind of its post.
enum class Post : uint32_t {
  kNone,
  kSyscall,      // nr, args; it came by SIGSYS
  kPatched,      // nr, args; it came from a patched call site
  kFault,        // fault
  kVsyscall,     // fault.address: the entry
  kSyscall32,    // int 0x80
  kInterrupted,  // A kick met guest code.
  kReady,        // A fresh thread waits for its first order.
  kDone,         // The commands of an order with kConfirm were run, until the first that failed.
  kFailed,       // A command failed that nobody waits for.
  kWaited,       // result: how the wait of an order ended.
  kHint,         // A call that is made by the stub came by SIGSYS: it is made again.
};

// What the kernel process answers.
enum class Order : uint32_t {
  kNone,
  kReturn,    // `result` goes to rax; the other registers stay as they are.
  kRegs,      // All of `regs`, fs and gs bases too.
  kStep,      // As kRegs, for one instruction.
  kCommands,  // Run the commands, then post kDone.
  kExit,      // End this thread.
  kWait,      // Wait for a futex (args, as in futex(2)), then post kWaited.
};

// A call to make in the stub: a host call, or one of these.
enum StubCommand : uint64_t {
  kCmdClone = 0x10000,  // clone(args[0]) whose child starts on the area at args[1]
  kCmdFork,  // clone(args[0]); the child maps block args[2] of the memory file at args[1]
  kCmdCompareExchange,  // *args[0]: args[1] -> args[2]; the result is what it held
  kCmdSaveFpu,          // XSAVE into the buffer, args[0]: its mask
  kCmdRestoreFpu,       // XRSTOR from the buffer
  kCmdSaveFrameFpu,     // The floating point state of a signal frame, to args[0]
  kCmdLoadFrameFpu,     // ... and back from there; 0: the initial state
  kCmdForgetRseq,       // rseq(2), whose failure means that there was nothing to forget
  kCmdHold,             // Sleeps while `held` is set
  kCmdCopyOut,          // args[1] bytes from the buffer at args[2] to args[0]
};

struct Command {
  uint64_t nr;
  uint64_t args[6];
  int64_t result;
};
static_assert(sizeof(Command) == 64);

constexpr uint32_t kMaxCommands = 24;

// What a stub had done of a futex(2) that it posts: nothing, or the wait that was interrupted had
// no deadline, or one.
enum Begun : uint32_t { kNotBegun, kBegun, kUntil };

// Calls whose answers a thread holds itself.
enum Identity { kPid, kTid, kUid, kEuid, kGid, kEgid, kIdentities };

// What the host keeps up to date for the thread: rseq(2). `addr` 0: nothing.
struct Rseq {
  uint64_t addr = 0;
  uint32_t length = 0, signature = 0;
};

struct StubRegs {
  uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, rip, eflags,
      rsp, fs_base, gs_base;
};

struct Area {
  // The request, in one cache line.
  alignas(64) uint32_t post;
  uint32_t nr;
  uint64_t args[6];
  uint32_t cpu;
  uint32_t copied_length;  // Bytes at `copied` that are in the buffer, too.
  // The answer, in another.
  alignas(64) uint32_t order;
  uint32_t command_count;  // Commands to run before anything else of the order.
  int64_t result;
  uint32_t sequence;  // Number of this order's batch of commands ...
  uint32_t done;      // ... and of the last one that was run.
  uint64_t copied;
  uint32_t parked;     // The answer will take long: not to be looked for.
  uint32_t begun;      // A posted futex(2): the stub had begun it (Begun).
  int64_t deadline;    // kUntil: until when, in nanoseconds of the host's CLOCK_MONOTONIC.
  uint32_t unwatched;  // Its posts are not looked for: to be told by a notification.
  uint32_t no_tsc;     // Reading the time stamp counter is a fault.
  uint32_t to_wake;    // Before it sleeps, or goes on: who waits at this bell, plus one (wakes.h).
  // Between stub and signal handler.
  alignas(64) uint32_t interrupt;  // A kick came while stub code ran.
  uint32_t waiting;                // Sleeps on `order`.
  uint32_t index;                  // Of this area in the memory file.
  uint32_t alive;                  // Cleared by the host when the thread is gone.
  uint64_t self, stack_top;
  uint64_t fixup;        // Stack to go back to when a guarded access faults; 0: none is going on.
  uint64_t minus_self;   // What gs is checked with, free of flags.
  uint64_t answered;     // Calls that were answered in the stub.
  uint32_t sleeps;       // In a futex wait of its own.
  uint32_t own_futexes;  // The stub makes calls with private futexes itself.
  StubRegs regs;
  struct {
    uint32_t signal;
    int32_t code;
    uint64_t address, error, trap;
  } fault;
  // What patched sites answer by themselves, each plus one; 0: the kernel process is asked.
  alignas(32) uint32_t identity[kIdentities];
  uint32_t held;       // A command sleeps while it is set.
  uint64_t time_page;  // In guest memory (abi/time_page.h); 0: clocks are not read here.
  Rseq rseq;           // To be forgotten when the thread asks for its end.
  uint64_t futex_calls, futex_waits;   // That were made in the stub; those of them that may sleep.
  uint32_t spin_failures, spin_skips;  // Of the last waits; waits that do not spin from now on.
  uint32_t hints;                      // Calls of these that came by SIGSYS.
  alignas(64) Command commands[kMaxCommands];
};
static_assert(offsetof(Area, order) == 64);
static_assert(offsetof(Area, interrupt) == USK_O_INTERRUPT);
static_assert(offsetof(Area, self) == USK_O_SELF);
static_assert(offsetof(Area, stack_top) == USK_O_STACK);
static_assert(offsetof(Area, fixup) == USK_O_FIXUP);
static_assert(offsetof(Area, answered) == USK_O_ANSWERED);
static_assert(offsetof(Area, regs) == USK_O_REGS);
static_assert(offsetof(StubRegs, gs_base) + USK_O_REGS == USK_O_GSBASE);
static_assert(offsetof(Area, minus_self) == USK_O_MINUS_SELF);
static_assert(offsetof(Area, identity) == USK_O_IDENTITY);
static_assert(sizeof(Area) <= 0x1000);

// Threads wait for their order at a bell, several at one where there are many.
constexpr uint32_t kBells = 512;

// The page that stubs only read.
struct Policy {
  uint32_t polling;  // The kernel process looks at posts by itself, on CPU polling_cpu.
  uint32_t polling_cpu;
  uint32_t spin_cycles;        // How long a stub waits for an answer before it sleeps ...
  uint32_t futex_spin_cycles;  // ... and, where that has paid, for a futex.
  uint32_t zygote_index;
  uint64_t xsave_mask;
  uint32_t xsave_size;
  uint64_t host_clock_gettime;  // In every stub process; 0: there is none.
  // The initial state, as XRSTOR wants it.
  alignas(64) unsigned char initial_fpu[576];
  // Each changes whenever a thread that waits at it is given an order. All stubs may wake there,
  // none may write.
  uint32_t bells[kBells];
};
static_assert(sizeof(Policy) <= 0x1000);

}  // namespace usk::trap
