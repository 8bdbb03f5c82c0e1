#include "boot/self_images.h"

#include "base/log.h"

namespace usk {

// Expires in the kernel's loop, between steps of tasks.
class SelfImages::Alarm final : public TimerClient {
 public:
  explicit Alarm(SelfImages& images) : images_(images) {}
  void expired() override {
    // Whoever is saved right now is saved often enough.
    if (!images_.is_busy()) {
      auto begun = images_.write(*images_.timed_, "", "--autosave", nullptr);
      if (!begun) LOG_ERROR("--autosave: {}", begun.error().message);
    }
    images_.arm();
  }

 private:
  SelfImages& images_;
};

OrFailure<std::unique_ptr<SelfImages>> SelfImages::make(const SandboxConfig& config) {
  std::unique_ptr<SelfImages> images(new SelfImages);
  if (config.autosave.dir.empty() && config.asked.dir.empty()) return nullptr;
  if (!config.autosave.dir.empty()) images->timed_ = TRY(ImageKeeper::open(config.autosave));
  if (!config.asked.dir.empty()) images->asked_ = TRY(ImageKeeper::open(config.asked));
  images->period_ns_ = config.autosave_ns;
  return images;
}

SelfImages::~SelfImages() {
  if (!kernel_) return;
  kernel_->hooks.ask_checkpoint = nullptr;
  if (alarm_) kernel_->time.disarm(*alarm_);
}

std::vector<int> SelfImages::directories() const {
  std::vector<int> fds;
  if (timed_) fds.push_back(timed_->directory()->get());
  if (asked_) fds.push_back(asked_->directory()->get());
  return fds;
}

OrFailure<void> SelfImages::make_helper(std::shared_ptr<HostPoller> poller) {
  placer_ = TRY(ImagePlacer::make(std::move(poller)));
  return {};
}

bool SelfImages::is_busy() const { return kernel_->background || placer_->is_busy(); }

void SelfImages::finish() { placer_->finish(); }

OrFailure<void> SelfImages::start(Kernel& kernel, Save save) {
  if (timed_) TRY(timed_->check());
  if (asked_) TRY(asked_->check());
  kernel_ = &kernel;
  save_ = std::move(save);
  if (asked_) {
    kernel.hooks.ask_checkpoint = [this](std::string name, std::function<void(Result<void>)> done) {
      wishes_.push_back({std::move(name), std::move(done)});
      return Result<void>();
    };
  }
  if (timed_) {
    alarm_ = make_ref<Alarm>(*this);
    arm();
  }
  return {};
}

void SelfImages::arm() {
  kernel_->time.arm(alarm_, CLOCK_MONOTONIC, kernel_->time.monotonic() + period_ns_);
}

void SelfImages::serve() {
  if (wishes_.empty() || kernel_->is_paused() || is_busy()) return;
  constexpr const char* kWhat = "a checkpoint that a program asked for";
  const Wish wish = std::move(wishes_.front());
  wishes_.erase(wishes_.begin());
  wish.done({});
  auto begun = write(*asked_, wish.name, kWhat, wish.done);
  wish.done(begun ? Err(EINPROGRESS) : Err(EIO));
  if (!begun) LOG_ERROR("{}: {}", kWhat, begun.error().message);
}

OrFailure<void> SelfImages::write(ImageKeeper& where, const std::string& name, const char* what,
                                  std::function<void(Result<void>)> done) {
  auto begun = std::make_shared<ImageKeeper::Begun>(TRY(where.begin(name)));
  auto job = TRY(save_(std::move(begun->image)));
  auto end = [what, done = std::move(done)](OrFailure<void> placed) {
    if (!placed) LOG_ERROR("{}: {}", what, placed.error().message);
    if (done) done(placed ? Result<void>() : Err(EIO));
  };
  auto written = [this, &where, begun, end = std::move(end)](OrFailure<void> whole) {
    whole ? placer_->place(where, std::move(*begun), end) : end(std::move(whole));
  };
  writing_ = std::make_unique<BackgroundImage>(*kernel_, std::move(job), /*sync=*/false,
                                               std::move(written));
  return {};
}

}  // namespace usk
