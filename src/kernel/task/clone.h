// Making tasks: clone(2), fork(2), vfork(2).
#pragma once
#include <sched.h>

#include "kernel/task/task.h"

namespace usk {

// clone3(2)'s arguments, with what clone(2) folds into its flags taken apart.
struct CloneRequest {
  uint64_t flags = 0;  // CLONE_*, without the exit signal.
  int exit_signal = 0;
  uint64_t stack = 0;  // The new stack pointer; 0: the parent's.
  uint64_t parent_tid = 0, child_tid = 0, pidfd = 0, tls = 0;
  std::vector<int> set_tid;
};

// Makes the child and starts it. Returns its id in the caller's pid namespace, or the stop that a
// vfork has to wait in. Errors as clone(2).
SyscallResult clone_task(Task& t, const CloneRequest& request);

// For CLONE_NEWUSER: all capabilities in a child namespace of the caller's, none outside. ENOSPC:
// too deep; EPERM: the caller's ids have no mapping.
Result<Ref<const Creds>> creds_in_new_user_ns(Task& t);

// unshare(2) and setns(2) share this: new namespaces for those CLONE_NEW* bits.
Result<Namespaces> new_namespaces(Task& t, uint64_t flags, const Ref<const Creds>& creds,
                                  FsState& fs);

// The first process, made from nothing (boot) or by `usk exec`.
struct ProcessSpec {
  Ref<FdTable> fds;
  Ref<FsState> fs;
  Ref<const Creds> creds;
  Namespaces ns;
  std::array<rlimit64, RLIM_NLIMITS> limits;
};
Result<Ref<Task>> make_process(Kernel& kernel, const ProcessSpec& spec);

// Makes a pidfd for a process (pidfd_open(2)); installed by the layer that has files for it.
using MakePidFile = Ref<File> (*)(Ref<Pid> pid, bool nonblocking, Ref<const Creds> creds);
extern MakePidFile make_pid_file;

}  // namespace usk
