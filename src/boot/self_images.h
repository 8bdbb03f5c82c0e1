// Images that a sandbox writes of itself: from time to time (--autosave), and when a program inside
// asks for one (--checkpoints, /proc/usk/checkpoint). Their directories are held open; the kernel
// process may change nothing of the host's but what is in them.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "base/failure.h"
#include "base/timer.h"
#include "boot/image_job.h"
#include "boot/image_keeper.h"
#include "boot/image_placer.h"
#include "kernel/kernel.h"

namespace usk {

class SelfImages {
 public:
  // Begins an image behind which the sandbox runs on.
  using Save = std::function<OrFailure<std::unique_ptr<ImageJob>>(state::ImageWriter image)>;

  // Before the kernel process is confined. Null: neither was asked for.
  static OrFailure<std::unique_ptr<SelfImages>> make(const SandboxConfig& config);
  ~SelfImages();
  std::vector<int> directories() const;
  // Still before, but for files and privileges.
  OrFailure<void> make_helper(std::shared_ptr<HostPoller> poller);
  // Once it is confined; from now on the clock is looked at, and programs may ask.
  OrFailure<void> start(Kernel& kernel, Save save);
  // Between steps of tasks: writes what programs have asked for.
  void serve();
  // Once nothing is written any more: waits until it is on the disk.
  void finish();

 private:
  class Alarm;
  struct Wish {
    std::string name;
    std::function<void(Result<void>)> done;
  };
  SelfImages() = default;
  void arm();
  // `what` is said of a failure; `done` (perhaps null) is told how it ended, if it began.
  OrFailure<void> write(ImageKeeper& where, const std::string& name, const char* what,
                        std::function<void(Result<void>)> done);
  bool is_busy() const;

  std::optional<ImageKeeper> timed_, asked_;
  int64_t period_ns_ = 0;
  Kernel* kernel_ = nullptr;  // Once it was started.
  Save save_;
  Ref<TimerClient> alarm_;
  std::vector<Wish> wishes_;
  std::unique_ptr<BackgroundImage> writing_;
  std::unique_ptr<ImagePlacer> placer_;
};

}  // namespace usk
