// Readiness of host descriptors, for files that stand for one.
#pragma once
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"

namespace usk {

// A wait queue that its poller may still hold when the file is gone.
class SharedQueue final : public RefCounted {
 public:
  WaitQueue queue;
};

// Something to do in the kernel's loop, outside of every lock.
class HostWork : public RefCounted {
 public:
  virtual void run() = 0;
};

// The host descriptors that the kernel's loop sleeps on besides guest threads.
class HostPoller {
 public:
  virtual ~HostPoller() = default;
  virtual int fd() = 0;  // Readable when dispatch() has something to do.
  virtual void dispatch() = 0;

  // `queue` is told once when one of `events` comes, POLLHUP or POLLERR at any rate; who looks
  // and finds nothing asks again. EPERM: the host cannot wait for such a descriptor, which is
  // always ready. The descriptor stays open until forget().
  virtual Result<void> watch(int host_fd, Ref<SharedQueue> queue, PollMask events) = 0;
  virtual void forget(int host_fd) = 0;
  // `work` runs in the next dispatch(), once, however often it is asked for. From any thread.
  virtual void run_soon(Ref<HostWork> work) = 0;
};

}  // namespace usk
