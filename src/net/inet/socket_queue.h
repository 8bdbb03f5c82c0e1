// Where who waits for a socket waits.
#pragma once
#include "base/fields.h"
#include "base/wait.h"

namespace usk {

// A wait queue that a socket and what it is an end of (a connection, a listener) share, so that
// neither needs the other to outlive it. Without state: saved so that both find the same again.
class SocketQueue final : public RefCounted {
 public:
  SocketQueue() = default;
  WaitQueue queue;
  USK_FIELDS()
};

constexpr PollMask kReadable = POLLIN | POLLRDNORM;
constexpr PollMask kWritable = POLLOUT | POLLWRNORM;
constexpr PollMask kHungUp = kReadable | kWritable | POLLRDHUP | POLLHUP;
constexpr PollMask kFailed = kHungUp | POLLERR;

}  // namespace usk
