// A directory in which a sandbox keeps the last images of itself: 000001, 000002-NAME, ..., and a
// link "latest" to the last.
#pragma once
#include "boot/config.h"
#include "state/image/image.h"

namespace usk {

class ImageKeeper {
 public:
  // Makes the directory if it is not there, and has it for itself. Before the kernel process is
  // confined.
  static OrFailure<ImageKeeper> open(const ImagesPlan& plan);
  // ... and after: that it can be written. Removes what was not finished.
  OrFailure<void> check() const;

  // The next image; `name` may be empty.
  OrFailure<state::ImageWriter> begin(const std::string& name) const;
  // It stands in its place: links it, removes older ones.
  OrFailure<void> placed() const;
  const HostFd& directory() const { return *dir_; }

 private:
  ImageKeeper(Ref<HostFd> dir, ImagesPlan plan) : dir_(std::move(dir)), plan_(std::move(plan)) {}
  // The names of images, or of what was to become one, in order of their numbers.
  OrFailure<std::vector<std::string>> names(bool finished) const;
  std::unexpected<Failure> cannot(Errno why) const;

  Ref<HostFd> dir_;
  ImagesPlan plan_;
};

}  // namespace usk
