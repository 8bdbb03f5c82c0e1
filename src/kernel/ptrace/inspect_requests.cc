// Requests about the stop itself and what else the kernel knows of a tracee.
#include <linux/capability.h>

#include "kernel/kernel.h"
#include "kernel/ptrace/call_info.h"
#include "kernel/ptrace/requests.h"

#ifndef PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG 0x4210
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif
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

// The filters of a task, the oldest first, for who is bound by none itself.
Result<Ref<const seccomp::Filter>> filter_of(Task& tracer, Task& t, uint64_t number) {
  if (!tracer.creds->capable(CAP_SYS_ADMIN, *tracer.kernel.root_user_ns) ||
      tracer.seccomp.is_on()) {
    return Err(EACCES);
  }
  if (t.seccomp.mode != seccomp::Mode::kFilter) return Err(EINVAL);
  size_t count;
  {
    Lock lock(task_mutex);
    count = t.seccomp.filter ? t.seccomp.filter->depth() : 0;
  }
  if (number >= count) return Err(ENOENT);
  auto filter = seccomp::nth_newest(t, count - 1 - number);
  if (!filter) return Err(ENOENT);
  return filter;
}

SyscallResult get_filter(Task& tracer, Task& t, const PtraceRequest& q) {
  const auto filter = TRY(filter_of(tracer, t, q.addr));
  if (q.data) TRY(tracer.mem().copy_out(q.data, std::as_bytes(filter->program())));
  return filter->program().size();
}

SyscallResult filter_metadata(Task& tracer, Task& t, const PtraceRequest& q) {
  struct seccomp_metadata m{};
  const size_t size = std::min<uint64_t>(q.addr, sizeof m);
  if (size < sizeof m.filter_off) return Err(EINVAL);
  m.filter_off = TRY(tracer.mem().get(UserPtr<const uint64_t>{q.data}));
  const auto filter = TRY(filter_of(tracer, t, m.filter_off));
  if (filter->logs()) m.flags |= SECCOMP_FILTER_FLAG_LOG;
  TRY(tracer.mem().copy_out(q.data, std::as_bytes(std::span(&m, 1)).first(size)));
  return size;
}

// struct ptrace_sud_config
struct DispatchConfig {
  uint64_t mode, selector, offset, length;
};

SyscallResult get_dispatch(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.addr != sizeof(DispatchConfig)) return Err(EINVAL);
  const auto& d = t.dispatch;
  const DispatchConfig c{
      .mode = d.on ? 1ull : 0ull, .selector = d.selector, .offset = d.offset, .length = d.length};
  TRY(tracer.mem().put(UserPtr<DispatchConfig>{q.data}, c));
  return 0;
}

SyscallResult set_dispatch(Task& tracer, Task& t, const PtraceRequest& q) {
  if (q.addr != sizeof(DispatchConfig)) return Err(EINVAL);
  const auto c = TRY(tracer.mem().get(UserPtr<const DispatchConfig>{q.data}));
  TRY(seccomp::set_user_dispatch(t, c.mode, c.offset, c.length, c.selector));
  return 0;
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
    case PTRACE_SECCOMP_GET_FILTER: return get_filter(tracer, t, q);
    case PTRACE_SECCOMP_GET_METADATA: return filter_metadata(tracer, t, q);
    case PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG: return get_dispatch(tracer, t, q);
    case PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG: return set_dispatch(tracer, t, q);
    default: return std::nullopt;
  }
}

}  // namespace usk
