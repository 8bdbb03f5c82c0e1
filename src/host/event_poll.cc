#include "host/event_poll.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include <array>

namespace usk::host {
namespace {

Result<UniqueFd> owned(int fd) {
  if (fd < 0) return Err(errno);
  return UniqueFd(fd);
}

}  // namespace

Result<EventPoll> EventPoll::make() {
  return EventPoll(TRY(owned(::epoll_create1(EPOLL_CLOEXEC))));
}

Result<void> EventPoll::set(int fd, uint32_t events) {
  epoll_event e{};
  e.events = events;
  e.data.fd = fd;
  if (::epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &e) == 0) return {};
  if (errno == EEXIST && ::epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &e) == 0) return {};
  return Err(errno);
}

void EventPoll::remove(int fd) { ::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::vector<EventPoll::Ready> EventPoll::ready() {
  std::array<epoll_event, 16> events;
  const int n = ::epoll_wait(fd_.get(), events.data(), int(events.size()), 0);
  std::vector<Ready> out;
  for (int i = 0; i < n; i++) out.push_back({events[i].data.fd, events[i].events});
  return out;
}

Result<UniqueFd> make_event() { return owned(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void raise_event(int event) { ::eventfd_write(event, 1); }  // Fails only when raised already.

void clear_event(int event) {
  eventfd_t count;
  ::eventfd_read(event, &count);
}

Result<UniqueFd> signals_as_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Err(errno);
  return owned(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<int> next_signal(int fd) {
  signalfd_siginfo info;
  if (::read(fd, &info, sizeof info) != sizeof info) return Err(errno);
  return int(info.ssi_signo);
}

bool wait_ready(std::span<pollfd> fds, int timeout_ms) {
  int n;
  do n = ::poll(fds.data(), nfds_t(fds.size()), timeout_ms);
  while (n < 0 && errno == EINTR);
  return n > 0;
}

ReadableOf wait_readable(int first, int second) {
  pollfd p[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
  while (::poll(p, 2, -1) < 0) {
  }
  return p[0].revents ? ReadableOf::kFirst : ReadableOf::kSecond;
}

}  // namespace usk::host
