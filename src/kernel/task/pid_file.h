// A process as a file descriptor: pidfd_open(2).
#pragma once
#include "fs/anon/anon_file.h"
#include "kernel/task/pid.h"

namespace usk {

class PidFile final : public AnonFile {
 public:
  PidFile(Ref<Pid> pid, bool nonblocking, Ref<const Creds> creds)
      : AnonFile("[pidfd]", O_RDWR | (nonblocking ? O_NONBLOCK : 0), std::move(creds)),
        pid_(std::move(pid)) {}
  ~PidFile() override;
  // Readable once the process has exited.
  PollMask poll() override EXCLUDES(task_mutex);
  WaitQueue& queue() override { return pid_->exit_queue; }
  std::string fdinfo() const override EXCLUDES(task_mutex);
  Pid& pid() const { return *pid_; }
  const Ref<Pid>& pid_ref() const { return pid_; }
  explicit PidFile(Blank b) : AnonFile(b) {}
  USK_FIELDS_OF(AnonFile, pid_)

 private:
  Ref<Pid> pid_;
};

}  // namespace usk
