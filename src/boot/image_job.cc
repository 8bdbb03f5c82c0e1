#include "boot/image_job.h"

#include <algorithm>

#include "boot/image_parts.h"
#include "fs/hostfs/hostfs.h"
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

struct HeldClock {
  explicit HeldClock(Timekeeper& t) : time(t), at(t.moment()) { time.hold(at); }
  ~HeldClock() { time.release(); }
  Timekeeper& time;
  const Timekeeper::Moment at;
};

}  // namespace

ImageJob::ImageJob(state::ImageWriter image) : image_(std::move(image)), state_(kBuild) {}

OrFailure<std::unique_ptr<ImageJob>> ImageJob::begin(Kernel& kernel, const SandboxState& sandbox,
                                                     const std::string& config, uint64_t generation,
                                                     state::ImageWriter image, Then then) {
  const int64_t began = kernel.time.monotonic();
  pause_tasks(kernel);
  const HeldClock clock(kernel.time);
  std::unique_ptr<ImageJob> job(new ImageJob(std::move(image)));
  TRY(job->save_state(kernel, sandbox, config, then));
  state::Manifest& m = job->manifest_;
  m.build = kBuild;
  m.platform = kernel.platform().name();
  m.cpu_features = processor_features();
  m.monotonic_ns = clock.at.monotonic;
  m.realtime_ns = clock.at.realtime;
  m.generation = generation;
  if (then != Then::kEnds) m.facts["paused_us"] = (kernel.time.monotonic() - began) / 1000;
  return job;
}

OrFailure<void> ImageJob::save_state(Kernel& kernel, const SandboxState& sandbox,
                                     const std::string& config, Then then) {
  HostHashes hashes;
  state_.services().add(&contents_);
  if (image_.form().files_hashed) state_.services().add(&hashes);
  state::save_singletons(state_);
  memory_ = TRY(image_.begin(kMemoryPart));
  snapshots_ = TRY(save_kernel(kernel, state_, then != Then::kEnds));
  state_.root("sandbox", sandbox);
  TRY(image_.add(kConfigPart, config));
  return contents_.begin(image_, then == Then::kRunsOn);
}

OrFailure<void> ImageJob::finish_state() {
  TRY(save_memory(snapshots_, state_));
  if (!snapshots_.empty()) memory_->expect(snapshots_.back().end());
  TRY(image_.add(kStatePart, TRY(state_.finish())));
  state_written_ = true;
  return {};
}

OrFailure<void> ImageJob::let_read(Ref<HostFd> board) {
  TRY(finish_state());
  while (TRY(contents_.write_some(UINT64_MAX))) {
  }
  std::vector<PageRun> runs;
  for (const MemorySnapshot& s : snapshots_) {
    runs.insert(runs.end(), s.runs().begin(), s.runs().end());
  }
  const uint64_t size = snapshots_.empty() ? 0 : snapshots_.back().end();
  memory_->leave_out(size);
  memory_file_ = memory_->file();
  TRY(image_.finish(std::move(manifest_), /*sync=*/false));
  desk_.emplace(std::move(board), runs, size);
  return write_first();
}

// What threads run on; not of very many, as the sandbox waits for it.
OrFailure<void> ImageJob::write_first() {
  constexpr int kMost = 128;
  int written = 0;
  for (const MemorySnapshot& s : snapshots_) {
    for (const uint64_t at : s.needed_first()) {
      if (written++ == kMost) return {};
      TRY(write_unit(at / kArrivalUnit));
    }
  }
  return {};
}

OrFailure<void> ImageJob::write_unit(uint64_t unit) {
  if (desk_->has(unit)) return {};
  const uint64_t from = unit * kArrivalUnit, to = from + kArrivalUnit;
  auto s = std::ranges::upper_bound(snapshots_, from, {}, &MemorySnapshot::end);
  for (; s != snapshots_.end() && s->begin() < to; ++s) {
    TRY(s->write_range(from, to, *memory_file_));
  }
  return desk_->wrote(unit);
}

OrFailure<bool> ImageJob::write_wanted() {
  constexpr int kUnitsAtOnce = 4;
  for (int i = 0; i < kUnitsAtOnce; i++) {
    const auto unit = desk_->next();
    if (!unit) return false;
    TRY(write_unit(*unit));
  }
  return true;
}

OrFailure<bool> ImageJob::step() {
  constexpr uint64_t kAtOnce = 256 << 10;
  if (desk_) return write_wanted();
  if (!state_written_) {
    TRY(finish_state());
    return true;
  }
  if (!contents_written_) {
    contents_written_ = !TRY(contents_.write_some(kAtOnce));
    return !contents_written_ || written_ < snapshots_.size();
  }
  if (written_ == snapshots_.size()) return false;
  MemoryWriter writer(*memory_);
  if (!TRY(snapshots_[written_].write_some(writer, kAtOnce))) snapshots_[written_++].end_copy();
  return written_ < snapshots_.size();
}

OrFailure<void> ImageJob::finish(bool sync) {
  if (desk_) return {};  // It was, before its memory.
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
