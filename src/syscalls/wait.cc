// wait4(2), waitid(2), getrusage(2), times(2).
#include <sys/wait.h>

#include "kernel/kernel.h"
#include "kernel/task/exit.h"
#include "kernel/task/pid_file.h"
#include "kernel/task/wait.h"
#include "syscalls/syscalls.h"

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#define __WALL 0x40000000
#define __WCLONE 0x80000000
#endif

namespace usk::sys {
namespace {

Result<std::optional<WaitResult>> wait_for(Task& t, const WaitRequest& w, bool& block) {
  block = false;
  auto r = TRY(look_at_children(t, w));
  if (r || (w.options & WNOHANG)) return r;
  t.waits().add(t.group->child_events, POLLIN, t.group);
  r = TRY(look_at_children(t, w));
  block = !r;
  return r;
}

rusage to_rusage(const Usage& u) {
  rusage r{};
  r.ru_utime = {u.user_ns / kNsPerSecond, u.user_ns % kNsPerSecond / 1000};
  r.ru_stime = {u.system_ns / kNsPerSecond, u.system_ns % kNsPerSecond / 1000};
  r.ru_maxrss = long(u.max_rss_kb);
  r.ru_minflt = long(u.minor_faults);
  r.ru_majflt = long(u.major_faults);
  r.ru_nvcsw = long(u.voluntary);
  r.ru_nivcsw = long(u.involuntary);
  return r;
}

// Finds the id that a pid argument names; null when it names nothing.
Ref<Pid> find_pid(Task& t, int nr) {
  Lock lock(task_mutex);
  return t.pid_ns().find(nr);
}

}  // namespace

SyscallResult wait4(Task& t, PidNr pid, UserPtr<int32_t> status, int32_t options,
                    UserPtr<rusage> usage) {
  constexpr uint32_t kKnown = WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;
  if (uint32_t(options) & ~kKnown) return Err(EINVAL);
  if (pid.n == INT32_MIN) return Err(ESRCH);
  WaitRequest w{.options = options | WEXITED, .with_usage = bool(usage)};
  Ref<Pid> target;
  if (pid.n > 0) {
    w.what = WaitRequest::kPid;
    target = find_pid(t, pid.n);
  } else if (pid.n < -1) {
    w.what = WaitRequest::kGroup;
    target = find_pid(t, -pid.n);
  } else if (pid.n == 0) {
    w.what = WaitRequest::kGroup;
    Lock lock(task_mutex);
    target = t.group->process_group->id;
  }
  w.pid = target;
  if (w.what != WaitRequest::kAny && !target) return Err(ECHILD);
  bool block;
  auto f = TRY(wait_for(t, w, block));
  if (block) return Block{};
  if (!f) return 0;
  if (status) TRY(t.mem().put(status, f->status));
  if (usage) TRY(t.mem().put(usage, to_rusage(f->usage)));
  return f->pid;
}

SyscallResult waitid(Task& t, int32_t type, PidNr id, UserPtr<siginfo_t> info, int32_t options,
                     UserPtr<rusage> usage) {
  constexpr uint32_t kKnown =
      WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL;
  if (uint32_t(options) & ~kKnown) return Err(EINVAL);
  if (!(options & (WEXITED | WSTOPPED | WCONTINUED))) return Err(EINVAL);
  WaitRequest w{.options = options, .with_usage = bool(usage)};
  Ref<Pid> target;
  bool nonblocking_fd = false;
  switch (type) {
    case P_ALL: break;
    case P_PID:
      if (id.n <= 0) return Err(EINVAL);
      w.what = WaitRequest::kPid;
      target = find_pid(t, id.n);
      break;
    case P_PGID: {
      if (id.n < 0) return Err(EINVAL);
      w.what = WaitRequest::kGroup;
      if (id.n > 0) {
        target = find_pid(t, id.n);
      } else {
        Lock lock(task_mutex);
        target = t.group->process_group->id;
      }
      break;
    }
    case 3 /* P_PIDFD */: {
      if (id.n < 0) return Err(EINVAL);
      auto file = ref_cast<PidFile>(TRY(t.file(id.n)));
      if (!file) return Err(EBADF);
      w.what = WaitRequest::kPid;
      target = file->pid_ref();
      nonblocking_fd = file->nonblocking();
      break;
    }
    default: return Err(EINVAL);
  }
  w.pid = target;
  if (w.what != WaitRequest::kAny && !target) return Err(ECHILD);
  bool block;
  auto f = TRY(wait_for(t, w, block));
  if (block && nonblocking_fd) return Err(EAGAIN);
  if (block) return Block{};
  siginfo_t out{};
  if (f) {
    out.si_signo = SIGCHLD;
    out.si_code = f->code;
    out.si_pid = f->pid;
    out.si_uid = f->uid;
    out.si_status = f->code == CLD_EXITED                              ? WEXITSTATUS(f->status)
                    : f->code == CLD_STOPPED || f->code == CLD_TRAPPED ? f->status >> 8
                    : f->code == CLD_CONTINUED                         ? SIGCONT
                                                                       : WTERMSIG(f->status);
  }
  if (f && usage) TRY(t.mem().put(usage, to_rusage(f->usage)));
  if (info) TRY(t.mem().put(info, out));
  return 0;
}

SyscallResult getrusage(Task& t, int32_t who, UserPtr<rusage> usage) {
  Usage u;
  if (who == RUSAGE_THREAD) {
    u = thread_usage(t);
  } else {
    Lock lock(task_mutex);
    if (who == RUSAGE_SELF) {
      u = group_usage(*t.group);
    } else if (who == RUSAGE_CHILDREN) {
      u = t.group->reaped_children;
    } else {
      return Err(EINVAL);
    }
  }
  if (who != RUSAGE_CHILDREN) {
    u.max_rss_kb = std::max(u.max_rss_kb, t.mm->space().resident_bytes() / 1024);
  }
  TRY(t.mem().put(usage, to_rusage(u)));
  return 0;
}

SyscallResult times(Task& t, UserPtr<tms> buf) {
  constexpr int64_t kTick = kNsPerSecond / 100;
  if (buf) {
    tms out{};
    {
      Lock lock(task_mutex);
      const Usage u = group_usage(*t.group), c = t.group->reaped_children;
      out = {u.user_ns / kTick, u.system_ns / kTick, c.user_ns / kTick, c.system_ns / kTick};
    }
    TRY(t.mem().put(buf, out));
  }
  return t.kernel.time.monotonic() / kTick;
}

}  // namespace usk::sys
