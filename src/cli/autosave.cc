#include "cli/autosave.h"

#include <fmt/format.h>

#include <filesystem>
#include <span>

#include "boot/autosave.h"
#include "boot/checkpoint.h"
#include "cli/commands.h"
#include "host/environment.h"
#include "host/process.h"
#include "host/random.h"

namespace usk {
namespace {

// Behind a plan: each process of the sandbox is on the other platform.
constexpr std::string_view kAlternate = ",alternate";

// A directory of our own that goes with us.
class Directory {
 public:
  Directory() {
    std::string base;
    if (!host::environment("TMPDIR", base)) base = "/tmp";
    uint64_t random;
    host::fill_random(std::as_writable_bytes(std::span(&random, 1)));
    path_ = fmt::format("{}/usk-autosave-{:016x}", base, random);
    is_ours_ = std::filesystem::create_directory(path_, error_);
  }
  ~Directory() {
    std::error_code ignored;
    if (is_ours_) std::filesystem::remove_all(path_, ignored);
  }
  OrFailure<void> check() const {
    if (is_ours_) return {};
    return fail(fmt::format("{}: {}", path_, error_ ? error_.message() : "it exists"));
  }
  std::string image(int number) const { return fmt::format("{}/{}", path_, number); }
  void remove(int number) const {
    std::error_code ignored;
    std::filesystem::remove_all(image(number), ignored);
  }

 private:
  std::string path_;
  std::error_code error_;
  bool is_ours_ = false;
};

OrFailure<int> run_once(std::vector<std::string> arguments, const std::string& plan,
                        const std::string& next) {
  auto image = TRY(state::ImageWriter::create(next));
  const auto files = TRY(image.make_files(kImageParts));
  std::vector<int> fds;
  std::vector<std::string> flags = {"--test-autosave-plan=" + plan};
  for (const auto& [name, file] : files) {
    fds.push_back(file->get());
    flags.push_back(fmt::format("--test-autosave-file={}", file->get()));
  }
  arguments.insert(arguments.begin() + 1, flags.begin(), flags.end());
  const int code = exit_code(TRY(host::run_self(arguments, fds)));
  if (code == kSavedExit) TRY(image.place(/*sync=*/false));
  return code;
}

// What is said of the host, and not of the sandbox, goes to each process anew.
class Hosting {
 public:
  explicit Hosting(const std::vector<std::string>& run) {
    for (const std::string& a : run) {
      if (a == "--") break;
      if (a.starts_with(kPlatform)) platform_ = a.substr(kPlatform.size());
      if (a.starts_with("--unsafe-without=") || a == "--verbose") flags_.push_back(a);
      if (a.starts_with("--trace")) flags_.push_back("--test-autosave-trace");
    }
  }
  // The flags of the sandbox's next process.
  std::vector<std::string> restore(const std::string& image, bool alternate) {
    if (alternate) platform_ = platform_ == "ptrace" ? "trap" : "ptrace";
    std::vector<std::string> all = {"restore", "--clock=frozen",
                                    std::string(kPlatform) + platform_};
    all.insert(all.end(), flags_.begin(), flags_.end());
    all.push_back(image);
    return all;
  }

 private:
  static constexpr std::string_view kPlatform = "--platform=";
  std::string platform_ = "auto";
  std::vector<std::string> flags_;
};

}  // namespace

int run_with_autosave(std::vector<std::string> arguments, const std::string& text) {
  const Directory directory;
  if (auto made = directory.check(); !made) return report(made.error());
  std::string plan = text;
  const bool alternate = plan.ends_with(kAlternate);
  if (alternate) plan.resize(plan.size() - kAlternate.size());
  Hosting hosting(arguments);
  for (int i = 0;; i++) {
    const auto code = run_once(arguments, AutosavePlan::of_process(plan, i), directory.image(i));
    if (!code) return report(code.error());
    if (i > 0) directory.remove(i - 1);
    if (*code != kSavedExit) return *code;
    arguments = hosting.restore(directory.image(i), alternate);
  }
}

}  // namespace usk
