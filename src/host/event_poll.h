// Waiting for many host descriptors: epoll(7), eventfd(2), signalfd(2).
#pragma once
#include <poll.h>
#include <signal.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

class EventPoll {
 public:
  static Result<EventPoll> make();
  int fd() const { return fd_.get(); }
  // Watches `fd` for `events` (EPOLLIN ...); again: for these from now on.
  Result<void> set(int fd, uint32_t events);
  void remove(int fd);
  struct Ready {
    int fd;
    uint32_t events;
  };
  // What is ready now; never waits.
  std::vector<Ready> ready();

 private:
  explicit EventPoll(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// An event that any thread may raise; readable until cleared.
Result<UniqueFd> make_event();
void raise_event(int event);
void clear_event(int event);

// Blocks these signals for this process and reports them at the descriptor instead.
Result<UniqueFd> signals_as_fd(std::initializer_list<int> signals);
// The next one; EAGAIN.
Result<int> next_signal(int fd);
// Sleeps until one of `fds` is ready (poll(2), negative ones are left out) or `timeout_ms` is over
// (-1: never). Whether one is.
bool wait_ready(std::span<pollfd> fds, int timeout_ms);
// Sleeps until one of the two is readable.
enum class ReadableOf { kFirst, kSecond };
ReadableOf wait_readable(int first, int second);

}  // namespace usk::host
