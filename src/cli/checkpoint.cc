// usk checkpoint with its inspect, diff and verify.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/image_report.h"
#include "cli/take_checkpoint.h"
#include "state/image/image.h"

namespace usk {
namespace {

struct Asked {
  CheckpointAsked checkpoint;
  std::string directory, other;
  bool json = false, objects = false;
};

int checkpoint(const Asked& a) {
  if (a.checkpoint.sandbox.empty() || a.checkpoint.directory.empty()) {
    return report({"checkpoint: give a sandbox and -o DIR"});
  }
  const auto done = take_checkpoint(a.checkpoint);
  return done ? 0 : report(done.error());
}

void print_json(const Json& json) { fmt::print("{}\n", to_text(json, 2)); }

OrFailure<void> inspect(const Asked& a) {
  const OpenedImage image = TRY(OpenedImage::open(a.directory));
  if (a.objects) {
    print_json(whole_state(image.state));
    return {};
  }
  const Json report = TRY(image_report(image));
  if (a.json) {
    print_json(report);
  } else {
    fmt::print("{}", image_table(image, report));
  }
  return {};
}

// As diff(1) says it: 1 when they differ.
OrFailure<int> diff(const Asked& a) {
  const OpenedImage one = TRY(OpenedImage::open(a.directory));
  const OpenedImage other = TRY(OpenedImage::open(a.other));
  const Json differences = TRY(image_differences(one, other));
  if (a.json) {
    print_json(differences);
  } else {
    fmt::print("{}", differences_table(differences));
  }
  return differences["equal"] == true ? 0 : 1;
}

int verify(const Asked& a) {
  auto image = state::Image::open(a.directory);
  if (!image) return report(image.error());
  auto whole = image->verify();
  return whole ? 0 : report(whole.error());
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
  cmd->add_option_function<std::string>(
         "--compress",
         [asked](const std::string& v) { asked->checkpoint.compressed = v == "zstd"; },
         "How the image is compressed: zstd, or none")
      ->check(CLI::IsMember({"none", "zstd"}));
  cmd->add_flag("--hash-files", asked->checkpoint.files_hashed,
                "Know files of the host by what is in them, not by their times");
  cmd->add_option("--incremental-from", asked->checkpoint.base,
                  "Leave out pages of memory that this image has; it must stay where it is")
      ->type_name("DIR");
  cmd->require_subcommand(0, 1);
  cmd->final_callback([cmd, asked, &chosen] {
    if (cmd->get_subcommands().empty()) chosen = [asked] { return checkpoint(*asked); };
  });
  auto* look = cmd->add_subcommand("inspect", "Show what an image holds");
  look->add_option("image", asked->directory, "Directory")->required();
  look->add_flag("--json", asked->json, "As a JSON object");
  look->add_flag("--objects", asked->objects, "The whole state of the sandbox, as a JSON object");
  on_chosen(look, chosen, asked, [](const Asked& a) {
    const auto done = inspect(a);
    return done ? 0 : report(done.error());
  });
  auto* compare =
      cmd->add_subcommand("diff", "Show how two images differ; exits with 1 if they do");
  compare->add_option("image", asked->directory, "Directory")->required();
  compare->add_option("other", asked->other, "Directory")->required();
  compare->add_flag("--json", asked->json, "As a JSON object");
  on_chosen(compare, chosen, asked, [](const Asked& a) {
    const auto done = diff(a);
    return done ? *done : report(done.error());
  });
  auto* check = cmd->add_subcommand("verify", "Compare the checksums of an image");
  check->add_option("image", asked->directory, "Directory")->required();
  on_chosen(check, chosen, asked, verify);
}

}  // namespace usk
