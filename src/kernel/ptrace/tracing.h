// What ptrace(2) keeps of a task: who traces it, how it was resumed, the stop it is in.
#pragma once
#include <array>
#include <optional>
#include <vector>

#include "creds/creds.h"
#include "kernel/signal/signal.h"
#include "kernel/task/pid.h"

namespace usk {

class Task;

// A ptrace-stop. The task's run state says what follows it.
struct PtraceStop {
  enum class Kind : uint8_t { kSignalDelivery, kGroup, kSyscall, kEvent };
  Kind kind = Kind::kEvent;
  int code = 0;                   // What wait4(2) shows above its lowest byte: signal | event << 8.
  std::optional<siginfo_t> info;  // PTRACE_GETSIGINFO; none in the group-stop of an attached task.
  bool listening = false;         // PTRACE_LISTEN: no longer seen as stopped.
  USK_FIELDS(kind, code, info, listening)
};

// Guarded by task_mutex.
struct Tracing {
  // --- As a tracee.
  Task* tracer = nullptr;
  Ref<const Creds> tracer_creds;  // Of when it attached.
  bool seized = false;
  uint32_t options = 0;  // PTRACE_O_*
  // What is done at system calls (PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SYSEMU), and how far the task
  // runs (PTRACE_SINGLESTEP, PTRACE_SINGLEBLOCK).
  enum class Calls : uint8_t { kRun, kStop, kEmulate } calls = Calls::kRun;
  enum class Step : uint8_t { kNone, kInstruction, kBlock } step = Step::kNone;
  std::optional<PtraceStop> stop;
  int unreported = 0;  // The stop's code, until wait4(2) has taken it.
  // In a signal-delivery-stop; PTRACE_SETSIGINFO changes it. And whose queue it came from.
  siginfo_t signal_shown{};
  SignalScope signal_scope = SignalScope::kTask;
  int resume_signal = 0;  // That the tracer chose to go on with.
  uint64_t message = 0;   // PTRACE_GETEVENTMSG
  // Stops to come: PTRACE_INTERRUPT and group-stops; a seized task is told that those begin or end.
  bool trap_stop = false, trap_notify = false;

  // --- As a tracer.
  std::vector<Task*> tracees;

  bool wants(int event) const { return options & 1u << event; }
  USK_FIELDS(tracer, tracer_creds, seized, options, calls, step, stop, unreported, signal_shown,
             signal_scope, resume_signal, message, trap_stop, trap_notify, tracees)
};

}  // namespace usk
