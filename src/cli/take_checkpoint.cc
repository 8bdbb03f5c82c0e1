#include "cli/take_checkpoint.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "boot/checkpoint.h"
#include "control/client.h"
#include "host/event_poll.h"
#include "host/file.h"
#include "host/poll.h"
#include "state/image/image.h"

namespace usk {
namespace {

constexpr int kInterrupted = 128;  // Plus the signal.

// What of an image is written, on the terminal that a person looks at.
class Progress {
 public:
  Progress(const state::ImageWriter::Files& files, uint64_t estimate)
      : files_(files), estimate_(estimate), shown_(isatty(2)) {}
  ~Progress() {
    if (drawn_) fmt::print(stderr, "\r\033[K");
  }
  void draw() {
    if (!shown_) return;
    uint64_t written = 0;
    for (const auto& [name, file] : files_) {
      const auto st = host::stat_at(*file, "");
      if (st) written += st->stx_size;
    }
    fmt::print(stderr, "\r\033[Kusk: {:.1f} of about {:.0f} MiB written", mebibytes(written),
               mebibytes(std::max(written, estimate_)));
    fflush(stderr);
    drawn_ = true;
  }

 private:
  static double mebibytes(uint64_t bytes) { return double(bytes) / (1 << 20); }
  const state::ImageWriter::Files& files_;
  const uint64_t estimate_;
  const bool shown_;
  bool drawn_ = false;
};

// The sandbox's answer, unless a signal comes first.
OrFailure<Json> await(ControlClient& client, int signals, Progress& progress) {
  constexpr int kDrawEachMs = 200;
  for (;;) {
    if (std::optional<Json> answer = TRY(client.received())) return *std::move(answer);
    std::array<pollfd, 2> fds = {{{client.fd(), POLLIN, 0}, {signals, POLLIN, 0}}};
    if (host::poll_ms(fds, kDrawEachMs) == 0) {
      progress.draw();
    } else if (fds[1].revents) {
      const int signal = host::next_signal(signals).value_or(SIGINT);
      return fail(fmt::format("interrupted; sandbox {} runs on", client.sandbox().id),
                  kInterrupted + signal);
    } else {
      TRY(client.read());
    }
  }
}

// How much there will be, roughly.
uint64_t estimate(const std::string& sandbox) {
  auto client = ControlClient::open(sandbox);
  if (!client) return 0;
  const auto stats = client->call({{"op", "stats"}});
  return stats ? uint64_t(number_of(*stats, "memory_bytes")) : 0;
}

// How the image names its base: by the name alone if both lie in one directory, which may be moved.
std::string path_of_base(const CheckpointAsked& asked) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path base = fs::canonical(asked.base, error);
  const fs::path image = fs::weakly_canonical(asked.directory, error);
  if (error) return {};
  return base.parent_path() == image.parent_path() ? base.filename() : base;
}

OrFailure<state::Base> find_base(const CheckpointAsked& asked, Ref<HostFd>& pages) {
  const state::Image image = TRY(state::Image::open(asked.base));
  TRY(image.verify());
  pages = TRY(state::PageIndex::of(*TRY(image.file(state::kPagesPart))));
  state::Base base{path_of_base(asked), image.manifest().checksum};
  std::error_code error;
  if (std::filesystem::equivalent(asked.base, asked.directory, error)) {
    return fail(asked.base + ": an image cannot refer to itself");
  }
  if (base.path.empty()) return fail(asked.base + ": it cannot be found again");
  return base;
}

}  // namespace

OrFailure<void> take_checkpoint(const CheckpointAsked& asked) {
  auto signals = host::signals_as_fd({SIGHUP, SIGINT, SIGTERM});
  if (!signals) return fail(fmt::format("signalfd: {}", strerror(int(signals.error()))));
  const uint64_t expected = isatty(2) ? estimate(asked.sandbox) : 0;
  ControlClient client = TRY(ControlClient::open(asked.sandbox));
  std::vector<std::string_view> parts(std::begin(kImageParts), std::end(kImageParts));
  Json request = {{"op", "checkpoint"},
                  {"leave_running", asked.leave_running},
                  {"hash_files", asked.files_hashed},
                  {"compress", asked.compressed ? "zstd" : "none"}};
  Ref<HostFd> base_pages;
  if (!asked.base.empty()) {
    const state::Base base = TRY(find_base(asked, base_pages));
    request["base"] = {{"path", base.path}, {"checksum", base.checksum}};
    parts.push_back(state::kPagesMap);
  }
  request["parts"] = parts;
  // The sandbox may reach no directory but its own: it gets files.
  auto image = TRY(state::ImageWriter::create(asked.directory));
  const auto files = TRY(image.make_files(parts));
  std::vector<int> fds;
  for (const auto& [name, file] : files) fds.push_back(file->get());
  if (base_pages) fds.push_back(base_pages->get());
  TRY(client.send(request, fds));
  {
    Progress progress(files, expected);
    TRY(await(client, signals->get(), progress));
  }
  TRY(image.place());
  if (asked.leave_running) return {};
  // From here on there is no way back.
  auto ended = client.call({{"op", "end"}});
  if (!ended && ended.error().exit_code != 128 + SIGKILL) return std::unexpected(ended.error());
  return {};
}

}  // namespace usk
