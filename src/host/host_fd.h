// Descriptors of the host, owned.
#pragma once
#include <unistd.h>

#include <utility>

#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"

namespace usk {

namespace host {
void close_descriptor(int fd);  // close(2)
}

// Sole owner of a host descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& o) noexcept : fd_(o.release()) {}
  UniqueFd& operator=(UniqueFd&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~UniqueFd() {
    if (fd_ >= 0) host::close_descriptor(fd_);
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset() { *this = UniqueFd(); }

 private:
  int fd_ = -1;
};

// A shared host descriptor: of a host file, or of the memory behind a file of ours.
class HostFd final : public RefCounted {
 public:
  explicit HostFd(UniqueFd fd) : fd_(std::move(fd)) {}
  explicit HostFd(int fd) : fd_(fd) {}
  int get() const { return fd_.get(); }
  // The same file opened for reading alone (itself, if it is). A shared mapping of that can never
  // become writable, whoever asks the host for it.
  Result<Ref<HostFd>> readonly() EXCLUDES(mu_);

 private:
  UniqueFd fd_;
  Mutex<Rank::kLeaf> mu_;
  Ref<HostFd> readonly_ GUARDED_BY(mu_);  // Once it was asked for.
};

}  // namespace usk
