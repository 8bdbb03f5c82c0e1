#include "control/watcher.h"

namespace usk {

Result<std::unique_ptr<EpollWatcher>> EpollWatcher::make(std::shared_ptr<HostPoller> inner) {
  HostPoller& files = *inner;
  std::unique_ptr<EpollWatcher> w(new EpollWatcher(TRY(host::EventPoll::make()), std::move(inner)));
  TRY(w->watch(files.fd(), POLLIN, [&files] { files.dispatch(); }));
  return w;
}

void EpollWatcher::dispatch() {
  for (const host::EventPoll::Ready& r : poll_.ready()) {
    auto it = callbacks_.find(r.fd);  // One callback may end the watch of another.
    if (it == callbacks_.end()) continue;
    const auto ready = it->second;  // It may end its own, too.
    ready();
  }
}

Result<void> EpollWatcher::watch(int fd, uint32_t events, std::function<void()> ready) {
  TRY(poll_.set(fd, events));
  callbacks_[fd] = std::move(ready);
  return {};
}

void EpollWatcher::unwatch(int fd) {
  if (callbacks_.erase(fd)) poll_.remove(fd);
}

}  // namespace usk
