#include "host/poll.h"

#include <poll.h>
#include <signal.h>
#include <time.h>

#include <algorithm>

namespace usk::host {
namespace {

int64_t now(clockid_t id) {
  timespec ts;
  clock_gettime(id, &ts);
  return int64_t(ts.tv_sec) * 1000000000 + ts.tv_nsec;
}

}  // namespace

int64_t monotonic_now() { return now(CLOCK_MONOTONIC); }
int64_t realtime_now() { return now(CLOCK_REALTIME); }

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
  timespec* limit = nullptr;
  if (deadline_ns != INT64_MAX) {
    const int64_t left = std::max<int64_t>(0, deadline_ns - monotonic_now());
    timeout = {left / 1000000000, left % 1000000000};
    limit = &timeout;
  }
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  sigdelset(&mask, SIGCHLD);
  ppoll(&p, fd >= 0 ? 1 : 0, limit, &mask);
}

}  // namespace usk::host
