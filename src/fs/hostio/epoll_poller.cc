#include "fs/hostio/epoll_poller.h"

#include <algorithm>

namespace usk {

Result<std::shared_ptr<EpollPoller>> EpollPoller::make() {
  host::Epoll epoll = TRY(host::Epoll::make());
  UniqueFd bell = TRY(host::event_fd());
  TRY(epoll.add_always(bell.get()));
  return std::shared_ptr<EpollPoller>(new EpollPoller(std::move(epoll), std::move(bell)));
}

Result<void> EpollPoller::watch(int host_fd, Ref<SharedQueue> queue, PollMask events) {
  Lock lock(mu_);
  auto it = entries_.find(host_fd);
  const bool known = it != entries_.end();
  const PollMask armed = known ? it->second.armed : 0;
  if (known && (events & ~armed) == 0) return {};
  TRY(epoll_.arm(host_fd, armed | events, known));
  entries_[host_fd] = {std::move(queue), armed | events};
  return {};
}

void EpollPoller::forget(int host_fd) {
  Lock lock(mu_);
  if (entries_.erase(host_fd)) epoll_.remove(host_fd);
}

void EpollPoller::run_soon(Ref<HostWork> work) {
  Lock lock(mu_);
  if (std::ranges::find(work_, work) != work_.end()) return;
  if (work_.empty()) host::ring(bell_.get());
  work_.push_back(std::move(work));
}

Ref<SharedQueue> EpollPoller::reported(int host_fd, PollMask events) {
  Lock lock(mu_);
  auto it = entries_.find(host_fd);
  if (it == entries_.end()) return {};
  Entry& e = it->second;
  // The end of the other side is told to all and would be reported again and again.
  const bool all = events & (POLLHUP | POLLERR);
  e.armed = all ? 0 : e.armed & ~events;
  if (e.armed && !epoll_.arm(host_fd, e.armed, true)) e.armed = 0;
  return e.queue;
}

// What is readable is taken even when nobody waits: left there, it would keep the loop going round.
void EpollPoller::dispatch() {
  for (const host::Epoll::Event& e : epoll_.take()) {
    if (Ref<SharedQueue> queue = reported(e.fd, e.events)) queue->queue.wake(e.events);
  }
  std::vector<Ref<HostWork>> work;
  {
    Lock lock(mu_);
    if (!work_.empty()) host::quiet(bell_.get());
    work.swap(work_);
  }
  for (Ref<HostWork>& w : work) w->run();
}

}  // namespace usk
