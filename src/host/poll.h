// Waiting on host descriptors and on traced children at once.
#pragma once
#include <poll.h>

#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// Monotonic and realtime clocks of the host in nanoseconds.
int64_t monotonic_now();
int64_t realtime_now();
// As they were at the last tick: CLOCK_MONOTONIC_COARSE and CLOCK_REALTIME_COARSE.
int64_t monotonic_coarse_now();
int64_t realtime_coarse_now();

// From now on SIGCHLD is blocked except inside wait_for_child_or_fd().
void prepare_child_waiting();
// Sleeps until a child changes state, `fd` is readable (-1: none) or host monotonic `deadline_ns`
// has passed (INT64_MAX: never). A child that changed state before the call ends it at once.
void wait_for_child_or_fd(int fd, int64_t deadline_ns);

// poll(2) with a timeout in milliseconds, -1: none.
int poll_ms(std::span<pollfd> fds, int timeout_ms);

// Sleeps until one of at most 8 descriptors (-1: none) is readable or the deadline has passed. One
// bit for each that is.
unsigned wait_for_any(std::span<const int> fds, int64_t deadline_ns);

}  // namespace usk::host
