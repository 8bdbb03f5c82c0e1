#include "kernel/seccomp/signals.h"

#include <linux/audit.h>

#include "kernel/signal/send.h"

namespace usk::seccomp {

void send_sigsys(Task& t, int code, int reason, Sigsys how) {
  Regs& regs = t.cpu->regs();
  regs.rax = regs.orig_rax;
  t.frame.registers_set = true;
  siginfo_t info = kernel_siginfo(SIGSYS);
  info.si_code = code;
  info.si_errno = reason;
  info.si_call_addr = reinterpret_cast<void*>(regs.ip());
  info.si_syscall = int(t.frame.nr);
  info.si_arch = AUDIT_ARCH_X86_64;
  Lock lock(task_mutex);
  how == Sigsys::kFatal ? force_fatal_signal(t, info) : force_signal(t, info);
}

}  // namespace usk::seccomp
