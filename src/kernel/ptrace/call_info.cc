#include "kernel/ptrace/call_info.h"

#include <linux/audit.h>

#include <cstring>

namespace usk {
namespace {

// The kind of a stop, which tells of calls only where PTRACE_O_TRACESYSGOOD or a filter marks it.
uint8_t op_of(const Task& t) REQUIRES(task_mutex) {
  const Tracing& tr = t.tracing;
  switch (tr.stop && tr.stop->info ? tr.stop->info->si_code : 0) {
    case SIGTRAP | 0x80:
      return tr.message == PTRACE_EVENTMSG_SYSCALL_ENTRY ? PTRACE_SYSCALL_INFO_ENTRY
                                                         : PTRACE_SYSCALL_INFO_EXIT;
    case SIGTRAP | PTRACE_EVENT_SECCOMP << 8: return PTRACE_SYSCALL_INFO_SECCOMP;
    default: return PTRACE_SYSCALL_INFO_NONE;
  }
}

constexpr size_t end_of(size_t offset, size_t size) { return offset + size; }

void fill_entry(ptrace_syscall_info& info, const Regs& regs) {
  info.entry.nr = regs.orig_rax;
  const auto args = regs.syscall_args();
  memcpy(info.entry.args, args.data(), sizeof info.entry.args);
}

}  // namespace

CallInfo call_info(Task& t) {
  const Regs& regs = t.cpu->regs();
  CallInfo c;
  memset(&c.info, 0, sizeof c.info);
  c.info.op = op_of(t);
  c.info.arch = AUDIT_ARCH_X86_64;
  c.info.instruction_pointer = regs.rip;
  c.info.stack_pointer = regs.rsp;
  switch (c.info.op) {
    case PTRACE_SYSCALL_INFO_ENTRY:
      fill_entry(c.info, regs);
      c.size = end_of(offsetof(ptrace_syscall_info, entry), sizeof c.info.entry);
      break;
    case PTRACE_SYSCALL_INFO_EXIT:
      c.info.exit.rval = regs.result();
      c.info.exit.is_error = regs.rax >= uint64_t(-4095);
      c.size = end_of(offsetof(ptrace_syscall_info, exit.is_error), sizeof c.info.exit.is_error);
      break;
    case PTRACE_SYSCALL_INFO_SECCOMP:
      fill_entry(c.info, regs);
      c.info.seccomp.ret_data = uint32_t(t.tracing.message);
      c.size =
          end_of(offsetof(ptrace_syscall_info, seccomp.ret_data), sizeof c.info.seccomp.ret_data);
      break;
    default: c.size = offsetof(ptrace_syscall_info, entry);
  }
  return c;
}

Result<void> set_call_info(Task& t, const ptrace_syscall_info& info) {
  // Flags for what is yet to come.
  if (info.pad[0] || info.pad[1] || info.pad[2]) return Err(EINVAL);
  if (info.op != op_of(t)) return Err(EINVAL);
  Regs& regs = t.cpu->regs();
  switch (info.op) {
    case PTRACE_SYSCALL_INFO_ENTRY:
    case PTRACE_SYSCALL_INFO_SECCOMP: {
      const auto nr = int32_t(info.entry.nr);
      if (uint64_t(int64_t(nr)) != info.entry.nr) return Err(ERANGE);
      regs.orig_rax = uint64_t(int64_t(nr));
      if (nr == -1) return {};
      const uint64_t* a = reinterpret_cast<const uint64_t*>(info.entry.args);
      regs.rdi = a[0], regs.rsi = a[1], regs.rdx = a[2];
      regs.r10 = a[3], regs.r8 = a[4], regs.r9 = a[5];
      return {};
    }
    case PTRACE_SYSCALL_INFO_EXIT: regs.set_result(info.exit.rval); return {};
    default: return Err(EINVAL);
  }
}

}  // namespace usk
