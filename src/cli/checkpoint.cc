// usk checkpoint with its inspect, diff and verify, and usk restore.
#include <fmt/format.h>

#include "base/log.h"
#include "boot/sandbox.h"
#include "cli/commands.h"
#include "cli/take_checkpoint.h"
#include "state/image/image.h"

namespace usk {
namespace {

struct Asked {
  CheckpointAsked checkpoint;
  std::string directory;
  RestoreRequest request;
  SandboxConfig config;
};

int checkpoint(const Asked& a) {
  if (a.checkpoint.sandbox.empty() || a.checkpoint.directory.empty()) {
    return report({"checkpoint: give a sandbox and -o DIR"});
  }
  const auto done = take_checkpoint(a.checkpoint);
  return done ? 0 : report(done.error());
}

int inspect(const Asked& a) {
  auto image = state::Image::open(a.directory);
  if (!image) return report(image.error());
  fmt::print("{}\n", image->manifest().to_text());
  return 0;
}

int verify(const Asked& a) {
  auto image = state::Image::open(a.directory);
  if (!image) return report(image.error());
  auto whole = image->verify();
  return whole ? 0 : report(whole.error());
}

int restore(const Asked& a) {
  if (a.config.verbose) {
    set_log_level(a.config.verbose > 1 ? LogLevel::kDebug : LogLevel::kInfo);
  }
  SandboxConfig config = a.config;
  config.confined = kConfines;
  auto sandbox = Sandbox::restore(config, a.request);
  if (!sandbox) return report(sandbox.error());
  const int status = (*sandbox)->run();
  fflush(nullptr);
  return exit_code(status);
}

template <class F>
void on_chosen(CLI::App* cmd, Action& chosen, const std::shared_ptr<Asked>& asked, F run) {
  cmd->final_callback([asked, run, &chosen] { chosen = [asked, run] { return run(*asked); }; });
}

}  // namespace

void add_checkpoint_command(CLI::App& app, Action& chosen) {
  auto asked = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("checkpoint", "Save a running sandbox as an image");
  cmd->add_option("sandbox", asked->checkpoint.sandbox, "Name, id or the beginning of an id");
  cmd->add_option("-o,--output", asked->checkpoint.directory, "Directory of the image");
  cmd->add_flag("--leave-running", asked->checkpoint.leave_running,
                "The sandbox runs on afterwards");
  cmd->require_subcommand(0, 1);
  cmd->final_callback([cmd, asked, &chosen] {
    if (cmd->get_subcommands().empty()) chosen = [asked] { return checkpoint(*asked); };
  });
  auto* look = cmd->add_subcommand("inspect", "Show what an image holds");
  look->add_option("image", asked->directory, "Directory")->required();
  on_chosen(look, chosen, asked, inspect);
  auto* check = cmd->add_subcommand("verify", "Compare the checksums of an image");
  check->add_option("image", asked->directory, "Directory")->required();
  on_chosen(check, chosen, asked, verify);
}

void add_restore_command(CLI::App& app, Action& chosen) {
  auto asked = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("restore", "Run on from an image");
  cmd->add_option("image", asked->request.dir, "Directory that usk checkpoint has written")
      ->required();
  cmd->add_option("--name", asked->config.name, "Name of the new sandbox");
  cmd->add_option("--platform", asked->config.platform, "auto, trap or ptrace");
  cmd->add_flag("--allow-changed", asked->request.allow_changed,
                "Files of the host may have changed since");
  cmd->add_flag("--paused", asked->request.paused, "It stands still until usk resume");
  cmd->add_option_function<std::string>(
         "--clock", [asked](const std::string& v) { asked->request.frozen_clock = v == "frozen"; },
         "The time of day: the present (now), or from where it was (frozen)")
      ->check(CLI::IsMember({"now", "frozen"}));
  add_image_flags(cmd, asked->config);
  cmd->add_option("--unsafe-without", asked->config.unsafe_without, "As of usk run")
      ->delimiter(',');
  cmd->add_flag("-v,--verbose", asked->config.verbose, "Say what Usk does; twice for more");
  add_autosave_flags(cmd, asked->config);
  on_chosen(cmd, chosen, asked, restore);
}

}  // namespace usk
