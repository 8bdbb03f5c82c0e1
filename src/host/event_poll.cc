#include "host/event_poll.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>

#include <array>

#include "host/call.h"
#include "host/poll.h"

namespace usk::host {
namespace {

constexpr size_t kSignalSetSize = 8;  // As the host counts.

void write_event(int event) {
  const eventfd_t one = 1;
  (void)guarded(SYS_write, event, &one, sizeof one);  // Fails only when it is full already.
}

Result<UniqueFd> owned(int fd) {
  if (fd < 0) return Err(errno);
  return UniqueFd(fd);
}

}  // namespace

Result<EventPoll> EventPoll::make() {
  return EventPoll(TRY(owned(int(guarded(SYS_epoll_create1, EPOLL_CLOEXEC)))));
}

Result<void> EventPoll::set(int fd, uint32_t events) {
  epoll_event e{};
  e.events = events;
  e.data.fd = fd;
  if (guarded(SYS_epoll_ctl, fd_.get(), EPOLL_CTL_ADD, fd, &e) == 0) return {};
  if (errno == EEXIST && guarded(SYS_epoll_ctl, fd_.get(), EPOLL_CTL_MOD, fd, &e) == 0) return {};
  return Err(errno);
}

void EventPoll::remove(int fd) { guarded(SYS_epoll_ctl, fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::vector<EventPoll::Ready> EventPoll::ready() {
  std::array<epoll_event, 16> events;
  const int n = int(guarded(SYS_epoll_wait, fd_.get(), events.data(), int(events.size()), 0));
  std::vector<Ready> out;
  for (int i = 0; i < n; i++) out.push_back({events[i].data.fd, events[i].events});
  return out;
}

Result<UniqueFd> make_event() {
  return owned(int(guarded(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

void raise_event(int event) { write_event(event); }  // Fails only when raised already.

void clear_event(int event) {
  eventfd_t count;
  (void)guarded(SYS_read, event, &count, sizeof count);
}

Result<UniqueFd> signals_as_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Err(errno);
  return owned(int(guarded(SYS_signalfd4, -1, &set, kSignalSetSize, SFD_CLOEXEC | SFD_NONBLOCK)));
}

Result<int> next_signal(int fd) {
  signalfd_siginfo info;
  if (guarded(SYS_read, fd, &info, sizeof info) != sizeof info) return Err(errno);
  return int(info.ssi_signo);
}

bool wait_ready(std::span<pollfd> fds, int timeout_ms) {
  int n;
  do n = poll_ms(fds, timeout_ms);
  while (n < 0 && errno == EINTR);
  return n > 0;
}

ReadableOf wait_readable(int first, int second) {
  pollfd p[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
  while (poll_ms(p, -1) < 0) {
  }
  return p[0].revents ? ReadableOf::kFirst : ReadableOf::kSecond;
}

}  // namespace usk::host
