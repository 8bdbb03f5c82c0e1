// Waits for host descriptors: epoll(7).
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "base/host_poller.h"
#include "base/lock.h"
#include "host/epoll.h"

namespace usk {

// Invariant: a descriptor is armed with exactly the events that somebody asked for and that have
// not been reported since, so an idle sandbox is never woken.
class EpollPoller final : public HostPoller {
 public:
  static Result<std::shared_ptr<EpollPoller>> make();

  int fd() override { return epoll_.fd(); }
  void dispatch() override EXCLUDES(mu_);
  Result<void> watch(int host_fd, Ref<SharedQueue> queue, PollMask events) override EXCLUDES(mu_);
  void forget(int host_fd) override EXCLUDES(mu_);
  void run_soon(Ref<HostWork> work) override EXCLUDES(mu_);

 private:
  EpollPoller(host::Epoll epoll, UniqueFd bell)
      : epoll_(std::move(epoll)), bell_(std::move(bell)) {}
  struct Entry {
    Ref<SharedQueue> queue;
    PollMask armed = 0;
  };
  // Takes note of what came; who is to be told.
  Ref<SharedQueue> reported(int host_fd, PollMask events) EXCLUDES(mu_);

  host::Epoll epoll_;
  UniqueFd bell_;  // Rung when there is work.
  Mutex<Rank::kLeaf> mu_;
  std::map<int, Entry> entries_ GUARDED_BY(mu_);
  std::vector<Ref<HostWork>> work_ GUARDED_BY(mu_);
};

}  // namespace usk
