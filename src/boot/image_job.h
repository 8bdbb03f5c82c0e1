// Writing an image piece by piece, while the sandbox runs on.
#pragma once
#include <deque>
#include <memory>

#include "boot/checkpoint.h"
#include "control/server.h"
#include "kernel/saved.h"

namespace usk {

// It is paused for as long as begin() takes. What is written then is all but the memory of
// processes, of which a copy is made on the host; that follows in step().
class ImageJob {
 public:
  // With `runs_on` unset, nothing may run before the last step().
  static OrFailure<std::unique_ptr<ImageJob>> begin(Kernel& kernel, const SandboxState& sandbox,
                                                    const SandboxConfig& config,
                                                    uint64_t generation, state::ImageWriter image,
                                                    bool runs_on = false);
  // Writes a little more, for less than a millisecond. True: there is more.
  OrFailure<bool> step();
  // The image is whole, and on the disk if `sync`.
  OrFailure<void> finish(bool sync);

 private:
  explicit ImageJob(state::ImageWriter image) : image_(std::move(image)) {}
  OrFailure<void> write_state(Kernel& kernel, const SandboxState& sandbox,
                              const SandboxConfig& config, bool runs_on);

  state::ImageWriter image_;
  state::Manifest manifest_;
  state::PartWriter* memory_ = nullptr;
  std::deque<MemorySnapshot> snapshots_;  // That are still to be written.
};

// Has the kernel's loop do it between all else.
class BackgroundImage final : public CheckpointJob {
 public:
  // No other work is in the background. `done` may drop this.
  BackgroundImage(Kernel& kernel, std::unique_ptr<ImageJob> image, bool sync,
                  std::function<void(OrFailure<void>)> done);
  ~BackgroundImage() override;

 private:
  bool step();

  Kernel& kernel_;
  std::unique_ptr<ImageJob> image_;  // Null: done.
  const bool sync_;
  std::function<void(OrFailure<void>)> done_;
};

}  // namespace usk
