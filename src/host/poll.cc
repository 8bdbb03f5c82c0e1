#include "host/poll.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>

#include "host/call.h"

namespace usk::host {
namespace {

constexpr size_t kSignalSetSize = 8;  // As the host counts.

int64_t now(clockid_t id) {
  timespec ts;
  clock_gettime(id, &ts);
  return int64_t(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

// What ppoll(2) takes for a deadline.
timespec* time_left(int64_t deadline_ns, timespec& timeout) {
  if (deadline_ns == INT64_MAX) return nullptr;
  const int64_t left = std::max<int64_t>(0, deadline_ns - monotonic_now());
  timeout = {left / 1000000000, left % 1000000000};
  return &timeout;
}

}  // namespace

int64_t monotonic_now() { return now(CLOCK_MONOTONIC); }
int64_t realtime_now() { return now(CLOCK_REALTIME); }
int64_t monotonic_coarse_now() { return now(CLOCK_MONOTONIC_COARSE); }
int64_t realtime_coarse_now() { return now(CLOCK_REALTIME_COARSE); }

void prepare_child_waiting() {
  struct sigaction sa{};
  sa.sa_handler = [](int) {};  // Only to end a wait.
  sigaction(SIGCHLD, &sa, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

void wait_for_child_or_fd(int fd, int64_t deadline_ns) {
  pollfd p{fd, POLLIN, 0};
  timespec timeout{};
  timespec* const limit = time_left(deadline_ns, timeout);
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  sigdelset(&mask, SIGCHLD);
  (void)guarded(SYS_ppoll, &p, fd >= 0 ? 1 : 0, limit, &mask, kSignalSetSize);
}

int poll_ms(std::span<pollfd> fds, int timeout_ms) {
  timespec timeout{timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
  return int(guarded(SYS_ppoll, fds.data(), fds.size(), timeout_ms < 0 ? nullptr : &timeout,
                     nullptr, kSignalSetSize));
}

unsigned wait_for_any(std::span<const int> fds, int64_t deadline_ns) {
  pollfd p[8];
  for (size_t i = 0; i < fds.size(); i++) p[i] = {fds[i], POLLIN, 0};
  timespec timeout{};
  if (guarded(SYS_ppoll, p, fds.size(), time_left(deadline_ns, timeout), nullptr, kSignalSetSize) <=
      0)
    return 0;
  unsigned ready = 0;
  for (size_t i = 0; i < fds.size(); i++) ready |= unsigned(p[i].revents != 0) << i;
  return ready;
}

}  // namespace usk::host
