// clone(2), fork(2), vfork(2), clone3(2), exit(2), exit_group(2), pidfd_open(2), pidfd_getfd(2),
// set_tid_address(2), set_robust_list(2), rseq(2), unshare(2), setns(2).

#include "kernel/kernel.h"
#include "kernel/ptrace/yama.h"
#include "kernel/signal/send.h"
#include "kernel/task/access.h"
#include "kernel/task/clone.h"
#include "kernel/task/pid_file.h"
#include "syscalls/syscalls.h"

namespace usk::sys {

SyscallResult fork(Task& t) { return clone_task(t, {.exit_signal = SIGCHLD}); }

SyscallResult vfork(Task& t) {
  return clone_task(t, {.flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD});
}

SyscallResult clone(Task& t, CloneFlags flags, uint64_t stack, uint64_t parent_tid,
                    uint64_t child_tid, uint64_t tls) {
  CloneRequest q;
  q.flags = flags.bits & 0xffffffff & ~uint64_t(CSIGNAL);
  q.exit_signal = int(flags.bits & CSIGNAL);
  q.stack = stack;
  q.parent_tid = parent_tid;
  q.child_tid = child_tid;
  q.tls = tls;
  q.pidfd = parent_tid;  // The old interface has one argument for both.
  if ((q.flags & CLONE_PIDFD) && (q.flags & CLONE_PARENT_SETTID)) return Err(EINVAL);
  return clone_task(t, q);
}

SyscallResult clone3(Task& t, UserPtr<const clone_args> p, uint64_t size) {
  constexpr uint64_t kFirstSize = 64;
  if (size > platform::kPageSize) return Err(E2BIG);
  if (size < kFirstSize) return Err(EINVAL);
  std::vector<std::byte> bytes(size);
  TRY(t.mem().copy_in(bytes, p.addr));
  clone_args a{};
  memcpy(&a, bytes.data(), std::min(size, sizeof a));
  for (size_t i = sizeof a; i < size; i++) {
    if (bytes[i] != std::byte(0)) return Err(E2BIG);
  }
  CloneRequest q;
  q.flags = a.flags;
  constexpr uint64_t kKnown = 0xffffffffull | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
  if ((q.flags & ~kKnown) || (q.flags & (CLONE_DETACHED | (CSIGNAL & ~0x80ull)))) {
    return Err(EINVAL);
  }
  if ((q.flags & CLONE_CLEAR_SIGHAND) && (q.flags & CLONE_SIGHAND)) return Err(EINVAL);
  if (q.flags & CLONE_INTO_CGROUP) return Err(EBADF);
  if (a.exit_signal > kSignals) return Err(EINVAL);
  if ((q.flags & (CLONE_THREAD | CLONE_PARENT)) && a.exit_signal) return Err(EINVAL);
  if ((a.stack == 0) != (a.stack_size == 0)) return Err(EINVAL);
  if (a.stack && a.stack + a.stack_size < a.stack) return Err(EINVAL);
  q.exit_signal = int(a.exit_signal);
  q.stack = a.stack ? a.stack + a.stack_size : 0;
  q.parent_tid = a.parent_tid;
  q.child_tid = a.child_tid;
  q.tls = a.tls;
  q.pidfd = a.pidfd;
  if ((a.set_tid == 0) != (a.set_tid_size == 0)) return Err(EINVAL);
  if (a.set_tid_size > size_t(PidNamespace::kMaxLevel)) return Err(EINVAL);
  if (a.set_tid_size) {
    q.set_tid = TRY(t.mem().get_array(UserPtr<const int>{a.set_tid}, a.set_tid_size));
  }
  return clone_task(t, q);
}

SyscallResult exit(Task& t, int32_t status) {
  Lock lock(task_mutex);
  if (!t.group->exiting) t.exit_status = (status & 0xff) << 8;
  return Exit{};
}

SyscallResult exit_group(Task& t, int32_t status) {
  Lock lock(task_mutex);
  begin_group_exit(*t.group, (status & 0xff) << 8);
  t.exit_status = t.group->exit_status;
  return Exit{};
}

SyscallResult pidfd_open(Task& t, PidNr pid, uint32_t flags) {
  if (flags & ~uint32_t(O_NONBLOCK)) return Err(EINVAL);
  if (pid.n <= 0) return Err(EINVAL);
  Ref<Pid> p;
  {
    Lock lock(task_mutex);
    p = t.pid_ns().find(pid.n);
    if (!p || (!p->group && !p->task)) return Err(ESRCH);
    if (!p->group) return Err(EINVAL);  // A thread, not a leader.
  }
  return TRY(t.add_fd(make_ref<PidFile>(p, flags & O_NONBLOCK, t.creds), true));
}

SyscallResult pidfd_getfd(Task& t, Fd pidfd, Fd target, uint32_t flags) {
  if (flags) return Err(EINVAL);
  auto file = ref_cast<PidFile>(TRY(t.file(pidfd.n)));
  if (!file) return Err(EBADF);
  Ref<FdTable> fds;
  {
    Lock lock(task_mutex);
    ThreadGroup* g = file->pid().group;
    if (!g || !g->leader || !g->leader->fds) return Err(ESRCH);
    if (!may_attach(t, *g->leader)) return Err(EPERM);
    fds = g->leader->fds;
  }
  return TRY(t.add_fd(TRY(fds->get(target.n)), true));
}

SyscallResult set_tid_address(Task& t, uint64_t addr) {
  t.clear_child_tid = addr;
  return t.tid();
}

SyscallResult set_robust_list(Task& t, uint64_t head, uint64_t length) {
  if (length != 24) return Err(EINVAL);
  t.robust_list = head;
  return 0;
}

SyscallResult get_robust_list(Task& t, PidNr pid, UserPtr<uint64_t> head,
                              UserPtr<uint64_t> length) {
  Ref<Task> who = TRY(task_or_self(t, pid.n));
  {
    Lock lock(task_mutex);
    if (!may_access(t, *who, AccessCreds::kReal)) return Err(EPERM);
  }
  TRY(t.mem().put(length, 24));
  TRY(t.mem().put(head, who->robust_list));
  return 0;
}

SyscallResult rseq(Task& t, uint64_t area, uint32_t length, int32_t flags, uint32_t signature) {
  constexpr int kUnregister = 1;
  if (flags & kUnregister) {
    if (flags != kUnregister || t.rseq.addr != area || !area) return Err(EINVAL);
    if (length != t.rseq.length) return Err(EINVAL);
    if (signature != t.rseq.signature) return Err(EPERM);
    t.mm->bring(*t.cpu, area, length);  // The host writes there.
    TRY(t.mm->space().register_rseq(*t.cpu, area, length, flags, signature));
    t.rseq = RseqArea{};
    return 0;
  }
  if (flags) return Err(EINVAL);
  if (t.rseq.addr) {
    if (t.rseq.addr != area || t.rseq.length != length) return Err(EINVAL);
    if (t.rseq.signature != signature) return Err(EPERM);
    return Err(EBUSY);
  }
  if (area % 32 || length < 32) return Err(EINVAL);
  // The host keeps the area: only it knows when the thread moves to another processor.
  t.mm->bring(*t.cpu, area, length);
  if (!t.mm->is_writable(area, length)) return Err(EFAULT);
  TRY(t.mm->space().register_rseq(*t.cpu, area, length, flags, signature));
  t.rseq = {area, length, signature};
  return 0;
}

}  // namespace usk::sys
