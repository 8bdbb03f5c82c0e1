// Brings images that a sandbox has written of itself to the disk and to their places, while it
// runs: a helper process waits for the disk.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/failure.h"
#include "base/host_poller.h"
#include "boot/image_keeper.h"
#include "host/disk_helper.h"

namespace usk {

class ImagePlacer {
 public:
  using Done = std::function<void(OrFailure<void>)>;

  // Before the kernel process is confined.
  static OrFailure<std::unique_ptr<ImagePlacer>> make(std::shared_ptr<HostPoller> poller);
  ~ImagePlacer();
  // One at a time. `where` stays.
  bool is_busy() const { return image_.has_value(); }
  // All of `image` is written. `done` is told how it ended, in the kernel's loop or before this
  // returns.
  void place(ImageKeeper& where, ImageKeeper::Begun image, Done done);
  // Waits until it has.
  void finish();

 private:
  class Bell;
  class Work;
  ImagePlacer(std::shared_ptr<HostPoller> poller, host::DiskHelper helper);
  // Asks for the files to be brought to the disk. False: there is no helper any more.
  bool ask(const std::vector<Ref<HostFd>>& files);
  void answered();
  // What comes after the disk has all that there is so far.
  OrFailure<void> next();
  OrFailure<void> settle();
  OrFailure<void> place_alone();
  void end(OrFailure<void> how);

  const std::shared_ptr<HostPoller> poller_;
  host::DiskHelper helper_;
  Ref<SharedQueue> queue_ = make_ref<SharedQueue>();
  Ref<Bell> bell_;

  // Of the image that is placed.
  ImageKeeper* where_ = nullptr;
  std::optional<ImageKeeper::Begun> image_;
  bool renamed_ = false;
  Done done_;
};

}  // namespace usk
