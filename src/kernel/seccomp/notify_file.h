// The supervisor's end of a filter: seccomp_unotify(2).
#pragma once
#include "fs/anon/anon_file.h"
#include "kernel/seccomp/notify_queue.h"

namespace usk::seccomp {

// Its ioctls are made by the current task. NOTIF_RECV fails with EAGAIN where it has to wait for
// POLLIN or POLLHUP, whatever O_NONBLOCK says.
class NotifyFile final : public AnonFile {
 public:
  NotifyFile(Ref<NotifyQueue> calls, Ref<const Creds> creds)
      : AnonFile("seccomp notify", O_RDWR, std::move(creds)), calls_(std::move(calls)) {}
  ~NotifyFile() override {
    if (calls_) calls_->close();
  }
  PollMask poll() override { return calls_->poll(); }
  WaitQueue& queue() override { return calls_->queue(); }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  explicit NotifyFile(Blank b) : AnonFile(b) {}
  USK_FIELDS_OF(AnonFile, calls_)

 private:
  Result<int64_t> receive(Caller& caller, uint64_t arg);
  Result<int64_t> send(Caller& caller, uint64_t arg);
  Result<int64_t> add_fd(Caller& caller, uint64_t arg, size_t size);

  Ref<NotifyQueue> calls_;
};

}  // namespace usk::seccomp
