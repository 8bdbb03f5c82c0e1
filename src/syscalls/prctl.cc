// prctl(2), arch_prctl(2), personality(2).
#include <asm/prctl.h>
#include <fmt/format.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

#include "kernel/kernel.h"
#include "kernel/run/watched_calls.h"
#include "syscalls/seccomp.h"
#include "syscalls/syscalls.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace usk::sys {
namespace {

SyscallResult set_name(Task& t, uint64_t addr) {
  char name[16] = {};
  for (size_t i = 0; i < sizeof name - 1; i++) {
    name[i] = TRY(t.mem().get(UserPtr<const char>{addr + i}));
    if (!name[i]) break;
  }
  Lock lock(task_mutex);
  t.set_name(name);
  return 0;
}

void change_creds(Task& t, auto change) {
  Ref<Creds> c = t.creds->clone();
  change(*c);
  Lock lock(task_mutex);
  t.creds = c;
}

SyscallResult ambient(Task& t, uint64_t op, uint64_t cap) {
  if (op == PR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap) return Err(EINVAL);
    change_creds(t, [](Creds& c) { c.ambient = 0; });
    return 0;
  }
  if (cap > uint64_t(kLastCap)) return Err(EINVAL);
  const CapSet bit = cap_bit(int(cap));
  switch (op) {
    case PR_CAP_AMBIENT_IS_SET: return bool(t.creds->ambient & bit);
    case PR_CAP_AMBIENT_RAISE:
      if (!(t.creds->permitted & bit) || !(t.creds->inheritable & bit)) return Err(EPERM);
      if (t.creds->securebits & SECBIT_NO_CAP_AMBIENT_RAISE) return Err(EPERM);
      change_creds(t, [&](Creds& c) { c.ambient |= bit; });
      return 0;
    case PR_CAP_AMBIENT_LOWER: change_creds(t, [&](Creds& c) { c.ambient &= ~bit; }); return 0;
    default: return Err(EINVAL);
  }
}

SyscallResult set_securebits(Task& t, uint64_t bits) {
  const uint32_t old = t.creds->securebits;
  constexpr uint32_t kBase = SECURE_ALL_BITS, kLocks = SECURE_ALL_LOCKS;
  if (bits & ~uint64_t(kBase | kLocks)) return Err(EPERM);
  if (((old & kLocks) >> 1) & (old ^ bits)) return Err(EPERM);
  if ((old & kLocks & ~bits) || !t.capable(CAP_SETPCAP)) return Err(EPERM);
  change_creds(t, [&](Creds& c) { c.securebits = uint32_t(bits); });
  return 0;
}

SyscallResult bounding(Task& t, uint64_t cap, bool drop) {
  if (cap > uint64_t(kLastCap)) return Err(EINVAL);
  if (!drop) return bool(t.creds->bounding & cap_bit(int(cap)));
  if (!t.capable(CAP_SETPCAP)) return Err(EPERM);
  change_creds(t, [&](Creds& c) { c.bounding &= ~cap_bit(int(cap)); });
  return 0;
}

SyscallResult name_area(Task& t, uint64_t op, uint64_t addr, uint64_t length, uint64_t name) {
  if (op != PR_SET_VMA_ANON_NAME) return Err(EINVAL);
  std::string text;
  if (name) {
    text = TRY(t.mem().get_string({name}, 79, EINVAL));
    for (char ch : text) {
      if (ch < 0x20 || ch > 0x7e || std::string_view("\\`$[]").contains(ch)) return Err(EINVAL);
    }
    text = "[anon:" + text + "]";
  }
  if (length > platform::kGuestEnd) return Err(EINVAL);
  TRY(t.mm->set_name(addr, length, text));
  return 0;
}

SyscallResult capability_options(Task& t, int32_t option, uint64_t arg2, uint64_t arg3,
                                 uint64_t arg4, uint64_t arg5) {
  switch (option) {
    case PR_CAPBSET_READ: return bounding(t, arg2, false);
    case PR_CAPBSET_DROP: return bounding(t, arg2, true);
    case PR_GET_SECUREBITS: return t.creds->securebits;
    case PR_SET_SECUREBITS: return set_securebits(t, arg2);
    case PR_GET_KEEPCAPS: return bool(t.creds->securebits & SECBIT_KEEP_CAPS);
    case PR_SET_KEEPCAPS:
      if (arg2 > 1) return Err(EINVAL);
      if (t.creds->securebits & SECBIT_KEEP_CAPS_LOCKED) return Err(EPERM);
      change_creds(t, [&](Creds& c) {
        c.securebits = (c.securebits & ~SECBIT_KEEP_CAPS) | (arg2 ? SECBIT_KEEP_CAPS : 0);
      });
      return 0;
    case PR_SET_NO_NEW_PRIVS:
      if (arg2 != 1 || arg3 || arg4 || arg5) return Err(EINVAL);
      change_creds(t, [](Creds& c) { c.no_new_privs = true; });
      return 0;
    case PR_GET_NO_NEW_PRIVS:
      if (arg2 || arg3 || arg4 || arg5) return Err(EINVAL);
      return t.creds->no_new_privs;
    case PR_CAP_AMBIENT:
      if (arg4 || arg5) return Err(EINVAL);
      return ambient(t, arg2, arg3);
    default: break;
  }
  note_unsupported(fmt::format("prctl {}", option));
  return Err(EINVAL);
}

// PR_SET_PTRACER: a process and its descendants, anybody, or (0) nobody.
SyscallResult allow_tracer(Task& t, uint64_t pid) {
  Lock lock(task_mutex);
  Yama& yama = t.kernel.yama;
  if (pid == 0) {
    yama.allow(*t.group, std::nullopt);
  } else if (pid == PR_SET_PTRACER_ANY) {
    yama.allow(*t.group, nullptr);
  } else {
    const Ref<Pid> named = pid <= INT32_MAX ? t.pid_ns().find(int(pid)) : Ref<Pid>();
    if (!named || !named->task) return Err(EINVAL);
    yama.allow(*t.group, named->task->group.get());
  }
  return 0;
}

}  // namespace

SyscallResult prctl(Task& t, int32_t option, uint64_t arg2, uint64_t arg3, uint64_t arg4,
                    uint64_t arg5) {
  switch (option) {
    case PR_SET_PDEATHSIG:
      if (arg2 > uint64_t(kSignals)) return Err(EINVAL);
      t.parent_death_signal = int(arg2);
      return 0;
    case PR_GET_PDEATHSIG: TRY(t.mem().put(UserPtr<int>{arg2}, t.parent_death_signal)); return 0;
    case PR_GET_DUMPABLE: return t.mm->dumpable;
    case PR_SET_DUMPABLE:
      if (arg2 > 1) return Err(EINVAL);
      t.mm->dumpable = int(arg2);
      return 0;
    case PR_SET_NAME: return set_name(t, arg2);
    case PR_GET_NAME: TRY(t.mem().copy_out(arg2, std::as_bytes(std::span(t.comm)))); return 0;
    case PR_GET_TIMERSLACK: return t.timer_slack_ns;
    case PR_SET_TIMERSLACK: t.timer_slack_ns = arg2 ? arg2 : 50000; return 0;
    case PR_SET_CHILD_SUBREAPER: {
      Lock lock(task_mutex);
      t.group->is_subreaper = arg2;
      return 0;
    }
    case PR_GET_CHILD_SUBREAPER: {
      TRY(t.mem().put(UserPtr<int>{arg2}, t.group->is_subreaper));
      return 0;
    }
    case PR_GET_TID_ADDRESS: TRY(t.mem().put(UserPtr<uint64_t>{arg2}, t.clear_child_tid)); return 0;
    case PR_GET_TIMING: return 0;
    case PR_SET_TIMING: return arg2 ? SyscallResult(Err(EINVAL)) : SyscallResult(0);
    case PR_SET_THP_DISABLE:
      if (arg3 || arg4 || arg5) return Err(EINVAL);
      t.mm->thp_disabled = arg2;
      return 0;
    case PR_GET_THP_DISABLE:
      if (arg2 || arg3 || arg4 || arg5) return Err(EINVAL);
      return t.mm->thp_disabled;
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET: return option == PR_MCE_KILL_GET ? PR_MCE_KILL_DEFAULT : 0;
    case PR_SET_VMA: return name_area(t, arg2, arg3, arg4, arg5);
    case PR_GET_TSC:
      TRY(t.mem().put(UserPtr<int>{arg2}, t.tsc_off ? PR_TSC_SIGSEGV : PR_TSC_ENABLE));
      return 0;
    case PR_SET_TSC:
      if (arg2 != PR_TSC_ENABLE && arg2 != PR_TSC_SIGSEGV) return Err(EINVAL);
      TRY(allow_tsc(t, arg2 == PR_TSC_ENABLE));
      return 0;
    case PR_GET_SECCOMP: return int(t.seccomp.mode.load());
    case PR_SET_SECCOMP: return set_seccomp_mode(t, arg2, arg3);
    case PR_SET_SYSCALL_USER_DISPATCH:
      TRY(seccomp::set_user_dispatch(t, arg2, arg3, arg4, arg5));
      return 0;
    case PR_SET_PTRACER: return allow_tracer(t, arg2);
    default: return capability_options(t, option, arg2, arg3, arg4, arg5);
  }
}

SyscallResult arch_prctl(Task& t, int32_t code, uint64_t addr) {
  Regs& regs = t.cpu->regs();
  switch (code) {
    case ARCH_SET_FS:
      if (addr >= platform::kGuestEnd) return Err(EPERM);
      regs.fs_base = addr;
      return 0;
    case ARCH_SET_GS:
      if (addr >= platform::kGuestEnd) return Err(EPERM);
      regs.gs_base = addr;
      return 0;
    case ARCH_GET_FS: TRY(t.mem().put(UserPtr<uint64_t>{addr}, regs.fs_base)); return 0;
    case ARCH_GET_GS: TRY(t.mem().put(UserPtr<uint64_t>{addr}, regs.gs_base)); return 0;
    case 0x1011 /* ARCH_GET_CPUID */: return 1;
    case 0x1012 /* ARCH_SET_CPUID */: return addr ? SyscallResult(0) : SyscallResult(Err(ENODEV));
    default: return Err(EINVAL);
  }
}

SyscallResult personality(Task& t, uint32_t persona) {
  const uint32_t old = t.personality;
  if (persona != 0xffffffff) t.personality = persona;
  return old;
}

}  // namespace usk::sys
