// Writing an image piece by piece, while the sandbox runs on.
#pragma once
#include <memory>
#include <vector>

#include "boot/arrival.h"
#include "boot/checkpoint.h"
#include "control/server.h"
#include "kernel/saved.h"
#include "state/image/contents.h"

namespace usk {

// It is paused for as long as begin() takes. The state is saved then; of the memory of processes a
// copy is made on the host, and of files in memory what changes is put aside
// (state/image/contents.h): they are looked at and written in step().
class ImageJob {
 public:
  // What comes behind begin(): nothing runs before the last step(); the sandbox runs on; it does,
  // and let_read() comes first.
  enum class Then { kEnds, kRunsOn, kIsRead };
  static OrFailure<std::unique_ptr<ImageJob>> begin(Kernel& kernel, const SandboxState& sandbox,
                                                    const std::string& config, uint64_t generation,
                                                    state::ImageWriter image, Then then);
  // Before the first step(): who reads may begin at once, with all but the memory, and is told on
  // `board` what of that is there (arrival.h).
  OrFailure<void> let_read(Ref<HostFd> board);
  // Writes a little more, for less than a millisecond. True: there is more.
  OrFailure<bool> step();
  // The image is whole, and on the disk if `sync`.
  OrFailure<void> finish(bool sync);

 private:
  explicit ImageJob(state::ImageWriter image);
  OrFailure<void> save_state(Kernel& kernel, const SandboxState& sandbox, const std::string& config,
                             Then then);
  // With where its memory will lie.
  OrFailure<void> finish_state();

  OrFailure<void> write_first();
  OrFailure<void> write_unit(uint64_t unit);
  OrFailure<bool> write_wanted();

  state::ImageWriter image_;
  state::Writer state_;
  bool state_written_ = false;
  state::ContentsWriter contents_;
  bool contents_written_ = false;
  state::Manifest manifest_;
  state::PartWriter* memory_ = nullptr;  // Of the image, or ...
  std::optional<PageDesk> desk_;         // ... with who reads it already: where memory is ...
  Ref<HostFd> memory_file_;              // ... and what it is written to.
  std::vector<MemorySnapshot> snapshots_;
  size_t written_ = 0;  // So many of them are.
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
