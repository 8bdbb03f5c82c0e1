// Requests about signals.
#include "kernel/ptrace/requests.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

SyscallResult get_siginfo(Task& tracer, Task& t, uint64_t to) {
  siginfo_t info;
  {
    Lock lock(task_mutex);
    if (!t.tracing.stop || !t.tracing.stop->info) return Err(EINVAL);
    info = *t.tracing.stop->info;
  }
  TRY(tracer.mem().put(UserPtr<siginfo_t>{to}, info));
  return 0;
}

SyscallResult set_siginfo(Task& tracer, Task& t, uint64_t from) {
  const siginfo_t info = TRY(tracer.mem().get(UserPtr<const siginfo_t>{from}));
  Lock lock(task_mutex);
  if (!t.tracing.stop || !t.tracing.stop->info) return Err(EINVAL);
  t.tracing.stop->info = info;
  return 0;
}

SyscallResult get_mask(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.addr != sizeof(SignalSet)) return Err(EINVAL);
  SignalSet mask;
  {
    Lock lock(task_mutex);
    mask = t.saved_mask.value_or(t.blocked);
  }
  TRY(tracer.mem().put(UserPtr<SignalSet>{q.data}, mask));
  return 0;
}

SyscallResult set_mask(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.addr != sizeof(SignalSet)) return Err(EINVAL);
  const SignalSet mask = TRY(tracer.mem().get(UserPtr<const SignalSet>{q.data}));
  Lock lock(task_mutex);
  t.saved_mask.reset();
  const bool interrupted = t.interrupted;
  set_blocked(t, mask);
  if (interrupted) t.interrupted = true;  // It was to look at more than signals, perhaps.
  return 0;
}

// struct ptrace_peeksiginfo_args
struct PeekArgs {
  uint64_t offset;
  uint32_t flags;
  int32_t count;
};

SyscallResult peek_siginfo(Task& tracer, Task& t, const PtraceRequest& q) {
  const auto args = TRY(tracer.mem().get(UserPtr<const PeekArgs>{q.addr}));
  if (args.flags & ~uint32_t(PTRACE_PEEKSIGINFO_SHARED) || args.count < 0) return Err(EINVAL);
  std::vector<siginfo_t> infos;
  {
    Lock lock(task_mutex);
    const auto& queue =
        args.flags & PTRACE_PEEKSIGINFO_SHARED ? t.group->pending.queue() : t.pending.queue();
    for (uint64_t i = args.offset; i < queue.size() && infos.size() < size_t(args.count); i++) {
      infos.push_back(queue[i]);
    }
  }
  int64_t copied = 0;
  for (const siginfo_t& info : infos) {
    auto ok = tracer.mem().put(UserPtr<siginfo_t>{q.data + uint64_t(copied) * sizeof info}, info);
    if (!ok) return copied ? SyscallResult(copied) : std::unexpected(ok.error());
    copied++;
  }
  return copied;
}

}  // namespace

RequestResult signal_request(Task& tracer, Task& t, const PtraceRequest& q) {
  switch (q.request) {
    case PTRACE_GETSIGINFO: return get_siginfo(tracer, t, q.data);
    case PTRACE_SETSIGINFO: return set_siginfo(tracer, t, q.data);
    case PTRACE_GETSIGMASK: return get_mask(tracer, t, q);
    case PTRACE_SETSIGMASK: return set_mask(tracer, t, q);
    case PTRACE_PEEKSIGINFO: return peek_siginfo(tracer, t, q);
    default: return std::nullopt;
  }
}

}  // namespace usk
