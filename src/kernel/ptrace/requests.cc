#include "kernel/ptrace/requests.h"

#include "kernel/ptrace/resume.h"
#include "kernel/signal/send.h"
#include "mm/code_write.h"

namespace usk {
namespace {

SyscallResult begin_tracing(Task& tracer, Task& target, const PtraceRequest& q) {
  const bool seize = q.request == PTRACE_SEIZE;
  if (seize && (q.addr || q.data & ~uint64_t(PTRACE_O_MASK))) return Err(EIO);
  if (seize) TRY(check_options(tracer, uint32_t(q.data)));
  TRY(attach(tracer, target, seize, seize ? uint32_t(q.data) : 0));
  return 0;
}

// Requests that a running tracee takes, too.
RequestResult running_request(Task& t, const PtraceRequest& q) REQUIRES(task_mutex) {
  switch (q.request) {
    case PTRACE_INTERRUPT: {
      const auto ok = interrupt(t);
      return ok ? SyscallResult(0) : std::unexpected(ok.error());
    }
    case PTRACE_KILL: (void)send_signal(t, kernel_siginfo(SIGKILL), SignalScope::kTask); return 0;
    default: return std::nullopt;
  }
}

}  // namespace

SyscallResult ptrace_request(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.request == PTRACE_ATTACH || q.request == PTRACE_SEIZE) return begin_tracing(tracer, t, q);
  {
    Lock lock(task_mutex);
    const bool running = q.request == PTRACE_INTERRUPT || q.request == PTRACE_KILL;
    TRY(check_tracee(tracer, t, /*stopped=*/!running));
    if (auto r = running_request(t, q)) return *r;
  }
  // A stopped tracee is this caller's alone until it answers: whoever advances tasks is here.
  if (!t.cpu || !t.mm) return Err(ESRCH);
  for (auto* group :
       {resume_request, memory_request, register_request, signal_request, inspect_request}) {
    if (auto r = group(tracer, t, q)) return *r;
  }
  return Err(EIO);
}

RequestResult resume_request(Task&, Task& t, const PtraceRequest& q) {
  using Calls = Tracing::Calls;
  using Step = Tracing::Step;
  Lock lock(task_mutex);
  auto end = [](Result<void> r) -> RequestResult {
    return r ? SyscallResult(0) : std::unexpected(r.error());
  };
  switch (q.request) {
    case PTRACE_CONT: return end(resume(t, Calls::kRun, Step::kNone, q.data));
    case PTRACE_SYSCALL: return end(resume(t, Calls::kStop, Step::kNone, q.data));
    case PTRACE_SYSEMU: return end(resume(t, Calls::kEmulate, Step::kNone, q.data));
    case PTRACE_SINGLESTEP: return end(resume(t, Calls::kRun, Step::kInstruction, q.data));
    case PTRACE_SINGLEBLOCK: return end(resume(t, Calls::kRun, Step::kBlock, q.data));
    case PTRACE_SYSEMU_SINGLESTEP:
      return end(resume(t, Calls::kEmulate, Step::kInstruction, q.data));
    case PTRACE_DETACH: return end(resume_detached(t, q.data));
    case PTRACE_LISTEN: return end(listen(t));
    default: return std::nullopt;
  }
}

RequestResult memory_request(Task& tracer, Task& t, const PtraceRequest& q) {
  AddressSpace& mm = *t.mm;
  uint64_t word = q.data;
  auto copy = [&](auto operation) -> SyscallResult {
    auto n = operation();
    // What cannot be had is an I/O error here, not EFAULT.
    if (!n || *n != sizeof word) return Err(EIO);
    return 0;
  };
  switch (q.request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA: {
      auto r =
          copy([&] { return mm.read_forced(q.addr, std::as_writable_bytes(std::span(&word, 1))); });
      if (!r) return r;
      if (auto ok = tracer.mem().put(UserPtr<uint64_t>{q.data}, word); !ok) {
        return std::unexpected(ok.error());
      }
      return 0;
    }
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return copy(
          [&] { return write_for_program(mm, q.addr, std::as_bytes(std::span(&word, 1))); });
    default: return std::nullopt;
  }
}

}  // namespace usk
