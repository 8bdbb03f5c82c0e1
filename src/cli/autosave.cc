#include "cli/autosave.h"

#include <fmt/format.h>

#include "boot/autosave.h"
#include "boot/checkpoint.h"
#include "cli/commands.h"
#include "cli/copies.h"
#include "host/process.h"

namespace usk {
namespace {

// Behind a plan: each process of the sandbox is on the other platform.
constexpr std::string_view kAlternate = ",alternate";

// So often the next process begins with an execve(2), so that nothing of it lies where it lay in
// the one that was saved: what was saved of addresses in it would show. The others are forked,
// which takes half as long.
constexpr int kExecEach = 5;

// In memory: its files, the manifest's last.
using Files = state::ImageWriter::Files;

OrFailure<Files> new_image() {
  auto image = state::ImageWriter::in_memory();
  return image.make_files(kImageParts);
}

std::vector<int> descriptors(const Files& files) {
  std::vector<int> fds;
  for (const auto& [name, file] : files) fds.push_back(file->get());
  return fds;
}

// What is said of the host, and not of the sandbox, goes to each process anew.
class Hosting {
 public:
  Hosting(const std::vector<std::string>& run, bool alternate) : alternate_(alternate) {
    constexpr std::string_view kPlatform = "--platform=", kWithout = "--unsafe-without=";
    for (const std::string& a : run) {
      if (a == "--") break;
      if (a.starts_with(kPlatform)) config_.platform = a.substr(kPlatform.size());
      if (a.starts_with(kWithout)) config_.unsafe_without.push_back(a.substr(kWithout.size()));
      if (a == "--verbose") config_.verbose++;
      if (a.starts_with("--trace")) config_.trace = true;
    }
  }

  // Process number `i` goes on where `image` ends, and leaves `next`, if it does not end.
  OrFailure<int> restore(int i, const std::string& plan, const Files& image, const Files& next) {
    if (alternate_) config_.platform = config_.platform == "ptrace" ? "trap" : "ptrace";
    if (i % kExecEach == 0) return execute(plan, image, next);
    SandboxConfig config = config_;
    config.autosave_plan = plan;
    config.autosave_files = descriptors(next);
    RestoreRequest request;
    request.memory = ReadyImage{TRY(state::Image::of(image))};
    request.frozen_clock = true;
    const pid_t pid =
        TRY(host::start_copy_of_self([&] { return run_copy(std::move(config), request); }));
    return host::wait_for_copy(pid);
  }

 private:
  OrFailure<int> execute(const std::string& plan, const Files& image, const Files& next) const {
    std::vector<std::string> arguments = {"restore", "--clock=frozen",
                                          "--platform=" + config_.platform,
                                          "--test-autosave-plan=" + plan};
    for (int i = 0; i < config_.verbose; i++) arguments.emplace_back("--verbose");
    for (const auto& layer : config_.unsafe_without) {
      arguments.push_back("--unsafe-without=" + layer);
    }
    if (config_.trace) arguments.emplace_back("--test-autosave-trace");
    std::vector<int> fds = descriptors(image);
    for (const int fd : fds) arguments.push_back(fmt::format("--test-autosave-image={}", fd));
    for (const int fd : descriptors(next)) {
      arguments.push_back(fmt::format("--test-autosave-file={}", fd));
      fds.push_back(fd);
    }
    arguments.emplace_back("an image in memory");
    return host::run_self(arguments, fds);
  }

  const bool alternate_;
  SandboxConfig config_;
};

OrFailure<int> run_first(std::vector<std::string> arguments, const std::string& plan,
                         const Files& next) {
  std::vector<std::string> flags = {"--test-autosave-plan=" + plan};
  const std::vector<int> fds = descriptors(next);
  for (const int fd : fds) flags.push_back(fmt::format("--test-autosave-file={}", fd));
  arguments.insert(arguments.begin() + 1, flags.begin(), flags.end());
  return host::run_self(arguments, fds);
}

OrFailure<int> run_all(const std::vector<std::string>& arguments, std::string plan) {
  const bool alternate = plan.ends_with(kAlternate);
  if (alternate) plan.resize(plan.size() - kAlternate.size());
  Hosting hosting(arguments, alternate);
  Files image;
  for (int i = 0;; i++) {
    const std::string own = AutosavePlan::of_process(plan, i);
    const Files next = TRY(new_image());
    const int status =
        i == 0 ? TRY(run_first(arguments, own, next)) : TRY(hosting.restore(i, own, image, next));
    if (exit_code(status) != kSavedExit) return exit_code(status);
    image = next;
  }
}

}  // namespace

int run_with_autosave(const std::vector<std::string>& arguments, const std::string& plan) {
  const auto code = run_all(arguments, plan);
  return code ? *code : report(code.error());
}

}  // namespace usk
