// Requests about the stop itself and what else the kernel knows of a tracee.
#include <linux/capability.h>

#include "kernel/ptrace/call_info.h"
#include "kernel/ptrace/requests.h"

#ifndef PTRACE_SET_SYSCALL_INFO
#define PTRACE_SET_SYSCALL_INFO 0x4212
#endif

namespace usk {
namespace {

constexpr uint64_t kOldSetOptions = 21;  // PTRACE_OLDSETOPTIONS

SyscallResult set_options(Task& tracer, Task& t, uint64_t options) {
  if (options & ~uint64_t(PTRACE_O_MASK)) return Err(EINVAL);
  TRY(check_options(tracer, uint32_t(options)));
  Lock lock(task_mutex);
  t.tracing.options = uint32_t(options);
  return 0;
}

SyscallResult event_message(Task& tracer, Task& t, uint64_t to) {
  uint64_t message;
  {
    Lock lock(task_mutex);
    message = t.tracing.message;
  }
  TRY(tracer.mem().put(UserPtr<uint64_t>{to}, message));
  return 0;
}

SyscallResult get_call_info(Task& tracer, Task& t, const PtraceRequest& q) {
  CallInfo c;
  {
    Lock lock(task_mutex);
    c = call_info(t);
  }
  const size_t n = std::min<uint64_t>(c.size, q.addr);
  TRY(tracer.mem().copy_out(q.data, std::as_bytes(std::span(&c.info, 1)).first(n)));
  return c.size;
}

SyscallResult change_call_info(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.addr < sizeof(ptrace_syscall_info)) return Err(EINVAL);
  const auto info = TRY(tracer.mem().get(UserPtr<const ptrace_syscall_info>{q.data}));
  Lock lock(task_mutex);
  TRY(set_call_info(t, info));
  return 0;
}

SyscallResult rseq_configuration(Task& tracer, Task& t, const PtraceRequest& q) {
  const ptrace_rseq_configuration c{.rseq_abi_pointer = t.rseq.addr,
                                    .rseq_abi_size = t.rseq.length,
                                    .signature = t.rseq.signature,
                                    .flags = 0,
                                    .pad = 0};
  const size_t n = std::min<uint64_t>(sizeof c, q.addr);
  TRY(tracer.mem().copy_out(q.data, std::as_bytes(std::span(&c, 1)).first(n)));
  return sizeof c;
}

}  // namespace

RequestResult inspect_request(Task& tracer, Task& t, const PtraceRequest& q) {
  switch (q.request) {
    case kOldSetOptions:
    case PTRACE_SETOPTIONS: return set_options(tracer, t, q.data);
    case PTRACE_GETEVENTMSG: return event_message(tracer, t, q.data);
    case PTRACE_GET_SYSCALL_INFO: return get_call_info(tracer, t, q);
    case PTRACE_SET_SYSCALL_INFO: return change_call_info(tracer, t, q);
    case PTRACE_GET_RSEQ_CONFIGURATION: return rseq_configuration(tracer, t, q);
    default: return std::nullopt;
  }
}

}  // namespace usk
