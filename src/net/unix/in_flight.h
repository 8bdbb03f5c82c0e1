// Files on their way through unix sockets: SCM_RIGHTS of unix(7).
#pragma once
#include <cstddef>
#include <vector>

#include "fs/vfs/file.h"

namespace usk {

// A message with files is "in flight" from when it is queued until it is received. Sockets in
// flight may hold each other with nobody else left to receive; collect_garbage() finds those.
// Counting errs on the safe side: a file is counted after it was queued and uncounted before it
// is taken out, so that a file whose counts are all in flight is held by queues alone.
namespace in_flight {

constexpr size_t kMaxFiles = 16384;     // Over all sockets.
constexpr size_t kMaxPerMessage = 253;  // Linux: SCM_MAX_FD

// Reserves room for `n` files, before queueing. ETOOMANYREFS.
Result<void> reserve(size_t n);
void unreserve(size_t n);
void queued(const std::vector<Ref<File>>& files);
void taken(const std::vector<Ref<File>>& files);
size_t count();

// Empties the queues of sockets that only each other's queues hold. Called when a unix socket
// goes; works at once where few are in flight, else now and then.
void collect_garbage();

}  // namespace in_flight

// Lets go of `files` without recursion: a file that goes may be a socket whose queue holds
// files, and so on.
void release_files(std::vector<Ref<File>> files);

}  // namespace usk
