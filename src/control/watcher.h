// Host descriptors that the kernel's loop watches for this layer.
#pragma once
#include <functional>
#include <map>

#include "base/result.h"
#include "host/event_poll.h"
#include "kernel/kernel.h"

namespace usk {

class Watcher {
 public:
  virtual ~Watcher() = default;
  // `ready` is called from the loop, with no lock held, whenever `fd` has one of `events`
  // (EPOLLIN ...). Again for a watched descriptor: replaces both.
  virtual Result<void> watch(int fd, uint32_t events, std::function<void()> ready) = 0;
  virtual void unwatch(int fd) = 0;
};

// A watcher that the kernel can poll itself.
class EpollWatcher final : public HostEvents, public Watcher {
 public:
  static Result<std::unique_ptr<EpollWatcher>> make();
  int fd() override { return poll_.fd(); }
  void dispatch() override;
  Result<void> watch(int fd, uint32_t events, std::function<void()> ready) override;
  void unwatch(int fd) override;

 private:
  explicit EpollWatcher(host::EventPoll poll) : poll_(std::move(poll)) {}
  host::EventPoll poll_;
  std::map<int, std::function<void()>> callbacks_;
};

}  // namespace usk
