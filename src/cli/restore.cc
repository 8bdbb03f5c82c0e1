// usk restore
#include "base/log.h"
#include "boot/sandbox.h"
#include "cli/commands.h"
#include "cli/copies.h"
#include "host/file_io.h"
#include "state/image/image.h"

namespace usk {
namespace {

struct Asked {
  RestoreRequest request;
  SandboxConfig config;
  int copies = 1;
  std::vector<int> files;  // Descriptors of an image in memory, for tests.
};

// What was inherited is closed later.
OrFailure<void> take_image(Asked& a) {
  if (a.files.empty()) return {};
  std::vector<int> own;
  for (const int fd : a.files) {
    auto copy = host::duplicate(fd);
    if (!copy) return fail("--test-autosave-image: not a descriptor");
    own.push_back(copy->release());
  }
  a.request.memory = ReadyImage{TRY(state::Image::of(given_files(own)))};
  return {};
}

OrFailure<int> restore_several(const Asked& a) {
  if (!a.config.autosave.dir.empty() || !a.config.asked.dir.empty()) {
    return fail("restore -n: each sandbox needs a directory of its own for its images");
  }
  TRY(state::Image::open(a.request.dir));  // One line, not one for each.
  return run_copies(a.copies, a.config, a.request);
}

int restore(Asked& a) {
  if (a.config.verbose) {
    set_log_level(a.config.verbose > 1 ? LogLevel::kDebug : LogLevel::kInfo);
  }
  if (auto taken = take_image(a); !taken) return report(taken.error());
  if (a.copies == 1) return run_copy(a.config, a.request);
  const auto code = restore_several(a);
  return code ? *code : report(code.error());
}

}  // namespace

void add_restore_command(CLI::App& app, Action& chosen) {
  constexpr int kMostCopies = 1000;
  auto asked = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("restore", "Run on from an image");
  cmd->add_option("image", asked->request.dir, "Directory that usk checkpoint has written")
      ->required();
  cmd->add_option("--name", asked->config.name,
                  "Name of the new sandbox; of several, NAME-1 and so on");
  cmd->add_option("-n,--copies", asked->copies,
                  "So many, in the background; ends when all have ended, with the first code that "
                  "is not 0")
      ->check(CLI::Range(1, kMostCopies));
  cmd->add_option("--platform", asked->config.platform, "auto, trap or ptrace");
  cmd->add_flag("--allow-changed", asked->request.allow_changed,
                "Files of the host may have changed since");
  cmd->add_flag("--verify", asked->request.verify,
                "Compare all checksums before anything runs, not behind it");
  cmd->add_flag("--paused", asked->request.paused, "It stands still until usk resume");
  cmd->add_option_function<std::string>(
         "--clock", [asked](const std::string& v) { asked->request.frozen_clock = v == "frozen"; },
         "The time of day: the present (now), or from where it was (frozen)")
      ->check(CLI::IsMember({"now", "frozen"}));
  add_image_flags(cmd, asked->config);
  cmd->add_option("--audit", asked->config.audit_file, "As of usk run");
  cmd->add_option("--unsafe-without", asked->config.unsafe_without, "As of usk run")
      ->delimiter(',');
  cmd->add_flag("-v,--verbose", asked->config.verbose, "Say what Usk does; twice for more");
  cmd->add_option("--test-autosave-image", asked->files, "For tests")->group("");
  add_autosave_flags(cmd, asked->config);
  cmd->final_callback([asked, &chosen] { chosen = [asked] { return restore(*asked); }; });
}

}  // namespace usk
