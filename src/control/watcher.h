// Host descriptors that the kernel's loop watches for this layer.
#pragma once
#include <functional>
#include <map>
#include <memory>

#include "base/host_poller.h"
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
class EpollWatcher final : public HostPoller, public Watcher {
 public:
  // `inner` serves the files; its descriptor is one of those watched here.
  static Result<std::unique_ptr<EpollWatcher>> make(std::shared_ptr<HostPoller> inner);
  int fd() override { return poll_.fd(); }
  void dispatch() override;
  Result<void> watch(int fd, uint32_t events, std::function<void()> ready) override;
  void unwatch(int fd) override;
  Result<void> watch(int fd, Ref<SharedQueue> queue, PollMask events) override {
    return inner_->watch(fd, std::move(queue), events);
  }
  void forget(int fd) override { inner_->forget(fd); }
  void run_soon(Ref<HostWork> work) override { inner_->run_soon(std::move(work)); }

 private:
  EpollWatcher(host::EventPoll poll, std::shared_ptr<HostPoller> inner)
      : poll_(std::move(poll)), inner_(std::move(inner)) {}
  host::EventPoll poll_;
  const std::shared_ptr<HostPoller> inner_;
  std::map<int, std::function<void()>> callbacks_;
};

}  // namespace usk
