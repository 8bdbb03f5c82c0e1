// An open descriptor of the host that several objects share.
#pragma once
#include "base/ref.h"

namespace usk {

// Owns a host descriptor: closed when the last holder lets go.
class HostFd final : public RefCounted {
 public:
  explicit HostFd(int fd) : fd_(fd) {}
  ~HostFd() override;
  int get() const { return fd_; }

 private:
  const int fd_;
};

}  // namespace usk
