#include "boot/image_job.h"

#include "boot/image_parts.h"
#include "fs/hostfs/hostfs.h"
#include "state/image/contents.h"
#include "state/singletons.h"

namespace usk {
namespace {

constexpr const char* kBuild = "usk 0.1";

class MemoryWriter final : public PageStore {
 public:
  explicit MemoryWriter(state::PartWriter& part) : part_(part) {}
  OrFailure<void> append(std::span<const std::byte> pages) override { return part_.append(pages); }
  OrFailure<void> skip(uint64_t length) override { return part_.skip(length); }

 private:
  state::PartWriter& part_;
};

}  // namespace

OrFailure<std::unique_ptr<ImageJob>> ImageJob::begin(Kernel& kernel, const SandboxState& sandbox,
                                                     const SandboxConfig& config,
                                                     uint64_t generation, state::ImageWriter image,
                                                     bool runs_on) {
  const int64_t began = kernel.time.monotonic();
  pause_tasks(kernel);
  std::unique_ptr<ImageJob> job(new ImageJob(std::move(image)));
  TRY(job->write_state(kernel, sandbox, config, runs_on));
  state::Manifest& m = job->manifest_;
  m.build = kBuild;
  m.platform = kernel.platform().name();
  m.cpu_features = processor_features();
  m.monotonic_ns = kernel.time.monotonic();
  m.realtime_ns = kernel.time.now(CLOCK_REALTIME);
  m.generation = generation;
  if (runs_on) m.facts["paused_us"] = (m.monotonic_ns - began) / 1000;
  return job;
}

OrFailure<void> ImageJob::write_state(Kernel& kernel, const SandboxState& sandbox,
                                      const SandboxConfig& config, bool runs_on) {
  state::Writer writer(kBuild);
  state::ContentsWriter contents;
  HostHashes hashes;
  writer.services().add(&contents);
  if (image_.form().files_hashed) writer.services().add(&hashes);
  state::save_singletons(writer);
  memory_ = TRY(image_.begin(kMemoryPart));
  for (MemorySnapshot& s : TRY(save_kernel(kernel, writer, runs_on))) {
    snapshots_.push_back(std::move(s));
  }
  writer.root("sandbox", sandbox);
  const std::string text = TRY(writer.finish());
  TRY(image_.add(kStatePart, text));
  TRY(image_.add(kConfigPart, to_text(config)));
  return contents.write(image_);
}

OrFailure<bool> ImageJob::step() {
  constexpr uint64_t kAtOnce = 256 << 10;
  if (snapshots_.empty()) return false;
  MemoryWriter writer(*memory_);
  if (!TRY(snapshots_.front().write_some(writer, kAtOnce))) snapshots_.pop_front();
  return !snapshots_.empty();
}

OrFailure<void> ImageJob::finish(bool sync) {
  TRY(image_.finish(std::move(manifest_), sync));
  return {};
}

BackgroundImage::BackgroundImage(Kernel& kernel, std::unique_ptr<ImageJob> image, bool sync,
                                 std::function<void(OrFailure<void>)> done)
    : kernel_(kernel), image_(std::move(image)), sync_(sync), done_(std::move(done)) {
  kernel_.background = [this] { return step(); };
}

BackgroundImage::~BackgroundImage() {
  if (image_) kernel_.background = nullptr;
}

bool BackgroundImage::step() {
  const auto more = image_->step();
  if (more && *more) return true;
  OrFailure<void> whole = more ? image_->finish(sync_) : std::unexpected(more.error());
  image_.reset();
  const auto done = std::exchange(done_, nullptr);
  done(std::move(whole));
  return false;
}

}  // namespace usk
