#include "host/epoll.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "host/call.h"

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

Result<void> control(int epoll, int op, int fd, uint32_t events) {
  epoll_event e{.events = events, .data = {.fd = fd}};
  if (guarded(SYS_epoll_ctl, epoll, op, fd, &e) < 0) return Err(errno);
  return {};
}

}  // namespace

Result<Epoll> Epoll::make() {
  return Epoll(TRY(owned(int(guarded(SYS_epoll_create1, EPOLL_CLOEXEC)))));
}

Result<void> Epoll::arm(int fd, uint32_t events, bool known) {
  return control(fd_.get(), known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, events | EPOLLONESHOT);
}

Result<void> Epoll::add_always(int fd) { return control(fd_.get(), EPOLL_CTL_ADD, fd, EPOLLIN); }

void Epoll::remove(int fd) { guarded(SYS_epoll_ctl, fd_.get(), EPOLL_CTL_DEL, fd, nullptr); }

std::vector<Epoll::Event> Epoll::take() {
  std::array<epoll_event, 16> ready;
  const int n = int(guarded(SYS_epoll_wait, fd_.get(), ready.data(), int(ready.size()), 0));
  std::vector<Event> out;
  for (int i = 0; i < n; i++) out.push_back({ready[i].data.fd, ready[i].events});
  return out;
}

Result<UniqueFd> event_fd() {
  return owned(int(guarded(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

void ring(int event_fd) { write_event(event_fd); }

void quiet(int event_fd) {
  eventfd_t value;
  (void)guarded(SYS_read, event_fd, &value, sizeof value);
}

Result<UniqueFd> signal_fd(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  if (const int e = pthread_sigmask(SIG_BLOCK, &set, nullptr)) return Err(e);
  return owned(int(guarded(SYS_signalfd4, -1, &set, kSignalSetSize, SFD_CLOEXEC | SFD_NONBLOCK)));
}

int take_signal(int signal_fd) {
  signalfd_siginfo info;
  return guarded(SYS_read, signal_fd, &info, sizeof info) == sizeof info ? int(info.ssi_signo) : 0;
}

}  // namespace usk::host
