// Descriptors that others gave to the kernel process and share with it: their flags and their
// position are not ours to change, and no call on them may wait.
#pragma once
#include <poll.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// At the very start: descriptors 0 to 2 that are closed get something that can neither be read
// nor written, so that no file of ours takes their number. SIGPIPE is ignored from now on.
void prepare_streams();
// A descriptor of our own for standard stream `fd`; EBADF when it was closed at the start.
Result<UniqueFd> take_stream(int fd);
// What others wait for at the far end of `fd` must not depend on us: it becomes /dev/null.
void replace_with_null(int fd);
int null_device();  // Open from its first use on; -1: there is none.

Result<struct stat> stat_of(int fd);
Result<int> status_flags(int fd);  // F_GETFL
// What of `events` is ready now; POLLERR, POLLHUP and POLLNVAL at any rate.
uint32_t poll_now(int fd, uint32_t events);

// Read and write of pipes and sockets (RWF_NOWAIT), and of devices that poll(2) says are ready.
// EAGAIN instead of waiting.
Result<size_t> read_nowait(int fd, std::span<std::byte> dst);
Result<size_t> write_nowait(int fd, std::span<const std::byte> src);
// lseek(2) of the shared position.
Result<uint64_t> seek_shared(int fd, int64_t offset, int whence);
// FIONREAD
Result<int> readable_bytes(int fd);

}  // namespace usk::host
