// execve(2): the point of no return.
#pragma once
#include <memory>
#include <string>

#include "kernel/task/task.h"

namespace usk {

// A program that the loader has put into an address space of its own, ready to take over a task.
struct ExecImage {
  Ref<AddressSpace> mm;
  std::unique_ptr<platform::Thread> cpu;
  std::string comm;
  Ref<const Creds> creds;  // After set-user-ID bits and capabilities were looked at.
  bool secure = false;     // AT_SECURE: privileges were gained.
  bool keeps_personality = true;
  std::unique_ptr<platform::ThreadState> saved_cpu;  // As Task::saved_cpu.
  USK_FIELDS(mm, comm, creds, secure, keeps_personality, saved_cpu)
};

// Ends the other threads of the group, then the run state SyscallAfterExecStop commits the image.
Outcome begin_exec(Task& t, std::shared_ptr<ExecImage> image);
// The task takes over the image and, if it was not the leader, the leader's id.
void commit_exec(Task& t);
// A vfork parent goes on: the child has a space of its own, or is gone.
void release_vfork_parent(Task& t) REQUIRES(task_mutex);

}  // namespace usk
