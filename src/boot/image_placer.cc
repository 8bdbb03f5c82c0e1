#include "boot/image_placer.h"

#include <fmt/format.h>
#include <poll.h>
#include <string.h>

#include "host/file.h"
#include "host/poll.h"

namespace usk {

class ImagePlacer::Work final : public HostWork {
 public:
  explicit Work(ImagePlacer& placer) : placer_(&placer) {}
  void run() override {
    if (placer_) placer_->answered();
  }
  ImagePlacer* placer_;  // Null: it is gone.
};

// Rings when the helper has answered.
class ImagePlacer::Bell final : public Waiter {
 public:
  Bell(HostPoller& poller, Ref<Work> work) : poller_(&poller), work_(std::move(work)) {}
  void notify(PollMask) override {
    if (work_->placer_) poller_->run_soon(work_);
  }
  void silence() { work_->placer_ = nullptr; }

 private:
  HostPoller* poller_;
  Ref<Work> work_;
};

OrFailure<std::unique_ptr<ImagePlacer>> ImagePlacer::make(std::shared_ptr<HostPoller> poller) {
  auto helper = host::DiskHelper::start();
  if (!helper) return fail(fmt::format("a helper process: {}", strerror(int(helper.error()))));
  return std::unique_ptr<ImagePlacer>(new ImagePlacer(std::move(poller), *std::move(helper)));
}

ImagePlacer::ImagePlacer(std::shared_ptr<HostPoller> poller, host::DiskHelper helper)
    : poller_(std::move(poller)),
      helper_(std::move(helper)),
      bell_(make_ref<Bell>(*poller_, make_ref<Work>(*this))) {
  queue_->queue.add(bell_, POLLIN);
}

ImagePlacer::~ImagePlacer() {
  bell_->silence();
  poller_->forget(helper_.fd());
}

void ImagePlacer::place(ImageKeeper& where, ImageKeeper::Begun image, Done done) {
  where_ = &where;
  image_.emplace(std::move(image));
  renamed_ = false;
  done_ = std::move(done);
  if (!ask(image_->placer.unsynced())) end(place_alone());
}

void ImagePlacer::finish() {
  while (is_busy()) {
    pollfd answer{.fd = helper_.fd(), .events = POLLIN, .revents = 0};
    host::poll_ms(std::span(&answer, 1), -1);
    answered();
  }
}

bool ImagePlacer::ask(const std::vector<Ref<HostFd>>& files) {
  std::vector<int> fds;
  for (const Ref<HostFd>& file : files) fds.push_back(file->get());
  return helper_.ask(host::DiskHelper::Wish::kSync, fds) &&
         poller_->watch(helper_.fd(), queue_, POLLIN);
}

void ImagePlacer::answered() {
  if (!is_busy()) return;
  const auto answer = helper_.answer();
  if (failed_with(answer, EAGAIN)) {
    (void)poller_->watch(helper_.fd(), queue_, POLLIN);
  } else if (failed_with(answer, EPIPE)) {
    end(place_alone());
  } else if (!answer) {
    end(fail(fmt::format("{}: {}", image_->name, strerror(int(answer.error())))));
  } else if (renamed_) {
    end(settle());
  } else if (auto placed = next(); !placed) {
    end(std::move(placed));
  }
}

OrFailure<void> ImagePlacer::next() {
  TRY(image_->placer.place(/*sync=*/false));
  renamed_ = true;
  if (!ask({where_->directory()})) end(place_alone());
  return {};
}

OrFailure<void> ImagePlacer::place_alone() {
  if (!renamed_) TRY(image_->placer.place(/*sync=*/true));
  return settle();
}

OrFailure<void> ImagePlacer::settle() {
  constexpr size_t kAtOnce = 8;
  std::vector<int> fds;
  const std::vector<Ref<HostFd>> removed = TRY(where_->placed(*image_));
  for (const Ref<HostFd>& file : removed) {
    if (fds.size() < kAtOnce) fds.push_back(file->get());
  }
  // Else they go here, at once.
  if (!fds.empty()) (void)helper_.ask(host::DiskHelper::Wish::kHold, fds);
  return {};
}

// Whoever is told may begin the next one.
void ImagePlacer::end(OrFailure<void> how) {
  image_.reset();
  const Done done = std::exchange(done_, nullptr);
  done(std::move(how));
}

}  // namespace usk
