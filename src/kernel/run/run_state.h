// The run states of a task: everything that its progress consists of. docs/ARCHITECTURE.md shows
// the graph; edges.def lists it.
#pragma once
#include <concepts>
#include <span>
#include <string_view>
#include <variant>

#include "base/fields.h"
#include "base/wait.h"

namespace usk {

class Task;
struct Step;

#define USK_RUN_STATE(Name)                          \
  struct Name {                                      \
    Step run(Task&);                                 \
    static constexpr std::string_view kName = #Name; \
    USK_FIELDS()                                     \
  }

USK_RUN_STATE(App);        // The application runs on the CPU.
USK_RUN_STATE(Interrupt);  // One interrupt condition at a time: kill, stop, signal.
USK_RUN_STATE(InterruptAfterSignalDeliveryStop);
USK_RUN_STATE(Syscall);       // Entry: number and arguments are recorded.
USK_RUN_STATE(SyscallEnter);  // ptrace looks.
USK_RUN_STATE(SyscallAfterSyscallEnterStop);
USK_RUN_STATE(SyscallAfterSysemuStop);
USK_RUN_STATE(SyscallSeccomp);
USK_RUN_STATE(SyscallAfterPtraceEventSeccomp);
USK_RUN_STATE(SyscallInvoke);    // The handler is called.
USK_RUN_STATE(SyscallReinvoke);  // It blocked and was woken, or restored.
USK_RUN_STATE(SyscallAfterExecStop);
USK_RUN_STATE(SyscallAfterPtraceEventClone);
USK_RUN_STATE(SyscallAfterVforkStop);
USK_RUN_STATE(SyscallExit);  // The result goes to the registers.
USK_RUN_STATE(Vsyscall);
USK_RUN_STATE(VsyscallAfterPtraceEventSeccomp);
USK_RUN_STATE(VsyscallInvoke);
USK_RUN_STATE(Exit);  // PTRACE_EVENT_EXIT
USK_RUN_STATE(ExitMain);
USK_RUN_STATE(ExitNotify);
USK_RUN_STATE(ExitDone);
#undef USK_RUN_STATE

using RunState =
    std::variant<App, Interrupt, InterruptAfterSignalDeliveryStop, Syscall, SyscallEnter,
                 SyscallAfterSyscallEnterStop, SyscallAfterSysemuStop, SyscallSeccomp,
                 SyscallAfterPtraceEventSeccomp, SyscallInvoke, SyscallReinvoke,
                 SyscallAfterExecStop, SyscallAfterPtraceEventClone, SyscallAfterVforkStop,
                 SyscallExit, Vsyscall, VsyscallAfterPtraceEventSeccomp, VsyscallInvoke, Exit,
                 ExitMain, ExitNotify, ExitDone>;

std::string_view state_name(const RunState& s);

// The task waits for a wake-up in its new state.
struct Park {
  RunState next;
  Deadline until;
};
// Guest code runs now; the next trap brings the task back in state App.
struct InGuest {};
// The task is gone.
struct Finished {};

struct Step : std::variant<RunState, Park, InGuest, Finished> {
  Step(RunState s) : variant(std::move(s)) {}
  Step(Park p) : variant(std::move(p)) {}
  Step(InGuest g) : variant(g) {}
  Step(Finished f) : variant(f) {}
  template <class S>
    requires(std::convertible_to<S, RunState> && !std::same_as<S, RunState>)
  Step(S s) : variant(RunState(std::move(s))) {}
};

// Whether the edge list knows this transition; `order` as in edges.def.
enum class StopOrder { k48, k35 };
bool is_edge(StopOrder order, std::string_view from, std::string_view to);

struct Edge {
  std::string_view order, from, to, when;
};
extern const std::span<const Edge> kEdges;

}  // namespace usk
