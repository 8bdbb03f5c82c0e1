// usk fork: copies of a running sandbox, which runs on.
#include <fmt/format.h>

#include <string.h>

#include "base/log.h"
#include "boot/arrival.h"
#include "boot/sandbox.h"
#include "cli/commands.h"
#include "cli/copies.h"
#include "control/client.h"
#include "host/file_io.h"

namespace usk {
namespace {

struct Asked {
  std::string sandbox;
  int copies = 1;
  SandboxConfig config;
  RestoreRequest request;
};

// In memory: what all copies see of it, they share. They begin while it is written to; until all is
// there the connection stays.
class ImageToCome {
 public:
  explicit ImageToCome(ControlClient& client) : client_(client) {}

  // How the sandbox was made, which it tells before it stands still.
  OrFailure<SandboxConfig> ask() {
    auto image = state::ImageWriter::in_memory();
    files_ = TRY(image.make_files(kImageParts));
    auto board = host::memory_file("board");
    if (!board) {
      return fail(fmt::format("cannot make a memory file: {}", strerror(int(board.error()))));
    }
    board_ = make_ref<HostFd>(std::move(*board));
    std::vector<int> fds;
    for (const auto& [name, file] : files_) fds.push_back(file->get());
    fds.push_back(board_->get());
    TRY(client_.send(
        {{"op", "checkpoint"}, {"parts", kImageParts}, {"leave_running", true}, {"board", true}},
        fds));
    return parse_config(text_of(TRY(client_.receive()), "config"));
  }

  OrFailure<ReadyImage> wait() {
    TRY(client_.receive());
    const auto image = TRY(state::Image::of(files_));
    const uint64_t memory = TRY(image.length(kMemoryPart));
    return ReadyImage{image, make_ref<ArrivingPages>(board_, memory, client_.fd())};
  }

 private:
  ControlClient& client_;
  state::Image::Files files_;
  Ref<HostFd> board_;
};

// One copy gets ready while the original is being saved.
OrFailure<int> run_one(Asked& asked, ImageToCome& image) {
  asked.request.config = TRY(image.ask());
  asked.request.wait = [&image] { return image.wait(); };
  return run_copy(asked.config, asked.request);
}

OrFailure<int> run_several(Asked& asked, ImageToCome& image) {
  TRY(image.ask());
  asked.request.memory = TRY(image.wait());
  return run_copies(asked.copies, asked.config, asked.request);
}

int fork_sandbox(Asked& asked) {
  if (asked.config.verbose) {
    set_log_level(asked.config.verbose > 1 ? LogLevel::kDebug : LogLevel::kInfo);
  }
  asked.request.forked = true;
  auto client = ControlClient::open(asked.sandbox);
  if (!client) return report(client.error());
  ImageToCome image(*client);
  const auto code = asked.copies == 1 ? run_one(asked, image) : run_several(asked, image);
  return code ? *code : report(code.error());
}

}  // namespace

void add_fork_command(CLI::App& app, Action& chosen) {
  constexpr int kMostCopies = 1000;
  auto asked = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("fork", "Run a copy of a running sandbox, which runs on");
  cmd->add_option("sandbox", asked->sandbox, "Name, id or the beginning of an id")->required();
  cmd->add_option("-n,--copies", asked->copies,
                  "So many, in the background; ends when all have ended, with the first code that "
                  "is not 0")
      ->check(CLI::Range(1, kMostCopies));
  cmd->add_option("--name", asked->config.name, "Name of the copy; of several, NAME-1 and so on");
  cmd->add_option("--platform", asked->config.platform, "auto, trap or ptrace");
  cmd->add_flag("--allow-changed", asked->request.allow_changed,
                "Files of the host may have changed since they were opened");
  cmd->add_option("--unsafe-without", asked->config.unsafe_without, "As of usk run")
      ->delimiter(',');
  cmd->add_flag("-v,--verbose", asked->config.verbose, "Say what Usk does; twice for more");
  cmd->final_callback([asked, &chosen] { chosen = [asked] { return fork_sandbox(*asked); }; });
}

}  // namespace usk
