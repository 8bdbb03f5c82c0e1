#include "host/epoll.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace usk::host {
namespace {

Result<UniqueFd> owned(int fd) {
  if (fd < 0) return Err(errno);
  return UniqueFd(fd);
}

Result<void> control(int epoll, int op, int fd, uint32_t events) {
  epoll_event e{.events = events, .data = {.fd = fd}};
  if (epoll_ctl(epoll, op, fd, &e) < 0) return Err(errno);
  return {};
}

}  // namespace

Result<Epoll> Epoll::make() { return Epoll(TRY(owned(epoll_create1(EPOLL_CLOEXEC)))); }

Result<void> Epoll::arm(int fd, uint32_t events, bool known) {
  return control(fd_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events | EPOLLONESHOT);
}

Result<void> Epoll::add_always(int fd) { return control(fd_.get(), EPOLL_CTL_ADD, fd, EPOLLIN); }

void Epoll::remove(int fd) { epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::vector<Epoll::Event> Epoll::take() {
  std::array<epoll_event, 16> ready;
  const int n = epoll_wait(fd_.get(), ready.data(), int(ready.size()), 0);
  std::vector<Event> out;
  for (int i = 0; i < n; i++) out.push_back({ready[i].data.fd, ready[i].events});
  return out;
}

Result<UniqueFd> event_fd() { return owned(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

void ring(int event_fd) { eventfd_write(event_fd, 1); }

void quiet(int event_fd) {
  eventfd_t value;
  eventfd_read(event_fd, &value);
}

Result<UniqueFd> signal_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  if (const int e = pthread_sigmask(SIG_BLOCK, &set, nullptr)) return Err(e);
  return owned(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

int take_signal(int signal_fd) {
  signalfd_siginfo info;
  return read(signal_fd, &info, sizeof info) == sizeof info ? int(info.ssi_signo) : 0;
}

}  // namespace usk::host
