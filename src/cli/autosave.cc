#include "cli/autosave.h"

#include <fmt/format.h>

#include <filesystem>

#include "boot/autosave.h"
#include "boot/checkpoint.h"
#include "cli/commands.h"
#include "host/environment.h"
#include "host/process.h"

namespace usk {
namespace {

// A directory of our own that goes with us.
class Directory {
 public:
  Directory() {
    std::string base;
    if (!host::environment("TMPDIR", base)) base = "/tmp";
    path_ = fmt::format("{}/usk-autosave-{}", base, host::own_pid());
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

}  // namespace

int run_with_autosave(std::vector<std::string> arguments, const std::string& plan) {
  const Directory directory;
  if (auto made = directory.check(); !made) return report(made.error());
  for (int i = 0;; i++) {
    const auto code = run_once(arguments, plan, directory.image(i));
    if (!code) return report(code.error());
    if (i > 0) directory.remove(i - 1);
    if (*code != kSavedExit) return *code;
    arguments = {"restore", directory.image(i)};
  }
}

}  // namespace usk
