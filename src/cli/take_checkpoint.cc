#include "cli/take_checkpoint.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <array>

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

}  // namespace

OrFailure<void> take_checkpoint(const CheckpointAsked& asked) {
  auto signals = host::signals_as_fd({SIGHUP, SIGINT, SIGTERM});
  if (!signals) return fail(fmt::format("signalfd: {}", strerror(int(signals.error()))));
  const uint64_t expected = isatty(2) ? estimate(asked.sandbox) : 0;
  ControlClient client = TRY(ControlClient::open(asked.sandbox));
  // The sandbox may reach no directory but its own: it gets files.
  auto image = TRY(state::ImageWriter::create(asked.directory));
  const auto files = TRY(image.make_files(kImageParts));
  std::vector<int> fds;
  for (const auto& [name, file] : files) fds.push_back(file->get());
  const Json request = {
      {"op", "checkpoint"}, {"parts", kImageParts}, {"leave_running", asked.leave_running}};
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
