// usk restore
#include <fmt/format.h>

#include "base/log.h"
#include "boot/sandbox.h"
#include "cli/commands.h"
#include "host/process.h"
#include "state/image/image.h"

namespace usk {
namespace {

struct Asked {
  RestoreRequest request;
  SandboxConfig config;
  unsigned copies = 1;
  std::vector<std::string> flags;  // For each of several copies.
};

int restore_one(const Asked& a) {
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

// Each in a process of its own, with nothing to read. What they write goes where we write.
OrFailure<int> restore_copies(const Asked& a) {
  if (!a.config.autosave.dir.empty() || !a.config.asked.dir.empty()) {
    return fail("restore -n: each sandbox needs a directory of its own for its images");
  }
  TRY(state::Image::open(a.request.dir));  // One line, not one for each.
  std::vector<pid_t> processes;
  for (unsigned i = 1; i <= a.copies; i++) {
    std::vector<std::string> arguments = {"restore"};
    arguments.insert(arguments.end(), a.flags.begin(), a.flags.end());
    if (!a.config.name.empty()) arguments.push_back(fmt::format("--name={}-{}", a.config.name, i));
    arguments.push_back("--");
    arguments.push_back(a.request.dir);
    processes.push_back(TRY(host::start_self(arguments, {}, /*no_input=*/true)));
  }
  int first_failure = 0;
  for (const pid_t pid : processes) {
    const int code = exit_code(TRY(host::wait_for_self(pid)));
    if (first_failure == 0) first_failure = code;
  }
  return first_failure;
}

int restore(const Asked& a) {
  if (a.copies == 1) return restore_one(a);
  const auto code = restore_copies(a);
  return code ? *code : report(code.error());
}

// The flags that were given, but those that are not the same for all copies.
std::vector<std::string> common_flags(const CLI::App& cmd) {
  std::vector<std::string> out;
  for (const CLI::Option* o : cmd.parse_order()) {
    const std::string name = o->get_name();
    if (o->get_positional() || name == "--copies" || name == "--name") continue;
    for (const std::string& value : o->results()) {
      out.push_back(o->get_items_expected_max() == 0 ? name : name + "=" + value);
    }
  }
  return out;
}

}  // namespace

void add_restore_command(CLI::App& app, Action& chosen) {
  auto asked = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("restore", "Run on from an image");
  cmd->add_option("image", asked->request.dir, "Directory that usk checkpoint has written")
      ->required();
  cmd->add_option("--name", asked->config.name, "Name of the new sandbox");
  cmd->add_option("-n,--copies", asked->copies,
                  "So many sandboxes, NAME-1, NAME-2, ..., which have nothing to read; the exit "
                  "code is that of the first that fails")
      ->check(CLI::Range(1u, 10'000u));
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
  cmd->final_callback([cmd, asked, &chosen] {
    asked->flags = common_flags(*cmd);
    chosen = [asked] { return restore(*asked); };
  });
}

}  // namespace usk
