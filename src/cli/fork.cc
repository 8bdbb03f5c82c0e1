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
OrFailure<void> take_image(ControlClient& client, RestoreRequest& request) {
  auto image = state::ImageWriter::in_memory();
  const auto files = TRY(image.make_files(kImageParts));
  auto board = host::memory_file("board");
  if (!board)
    return fail(fmt::format("cannot make a memory file: {}", strerror(int(board.error()))));
  std::vector<int> fds;
  for (const auto& [name, file] : files) fds.push_back(file->get());
  fds.push_back(board->get());
  TRY(client.send(
      {{"op", "checkpoint"}, {"parts", kImageParts}, {"leave_running", true}, {"board", true}},
      fds));
  TRY(client.receive());
  request.image = TRY(state::Image::of(files));
  request.forked = true;
  request.arriving = make_ref<ArrivingPages>(make_ref<HostFd>(std::move(*board)),
                                             TRY(request.image->length(kMemoryPart)), client.fd());
  return {};
}

int fork_sandbox(Asked& asked) {
  if (asked.config.verbose) {
    set_log_level(asked.config.verbose > 1 ? LogLevel::kDebug : LogLevel::kInfo);
  }
  auto client = ControlClient::open(asked.sandbox);
  if (!client) return report(client.error());
  if (auto taken = take_image(*client, asked.request); !taken) return report(taken.error());
  if (asked.copies == 1) return run_copy(asked.config, asked.request);
  const auto code = run_copies(asked.copies, asked.config, asked.request);
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
