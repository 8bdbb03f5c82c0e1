// epoll(7), eventfd(2) and signalfd(2) of the host.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

class Epoll {
 public:
  static Result<Epoll> make();
  int fd() const { return fd_.get(); }
  // Reports one of `events` once; then the descriptor is silent until armed again. `known` says
  // that it has been armed before.
  Result<void> arm(int fd, uint32_t events, bool known);
  Result<void> add_always(int fd);  // For POLLIN, each time.
  void remove(int fd);
  struct Event {
    int fd;
    uint32_t events;
  };
  // What is ready now, at most 16 descriptors.
  std::vector<Event> take();

 private:
  explicit Epoll(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// A non-blocking eventfd.
Result<UniqueFd> event_fd();
void ring(int event_fd);
void quiet(int event_fd);

// Blocks `signals` for this thread and gives a non-blocking descriptor that reports them.
Result<UniqueFd> signal_fd(std::initializer_list<int> signals);
// The next reported signal; 0: none.
int take_signal(int signal_fd);

}  // namespace usk::host
