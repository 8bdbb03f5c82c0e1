#include "fs/vfs/mount_context.h"

namespace usk {

Result<void> MountContext::complain(std::string text) {
  if (messages_.size() == kMaxMessages) messages_.pop_front();
  messages_.push_back("e " + type_ + ": " + std::move(text));
  return Err(EINVAL);
}

Result<void> MountContext::set(std::string_view key, const std::string* value, const Check& check) {
  const std::string name(key);
  const bool flag = !value;
  const Result<void> known = check(type_, flag ? name : name + "=" + *value);
  Lock lock(mu_);
  if (state_ != State::kCreating && state_ != State::kReconfiguring) return Err(EBUSY);
  if (flag && (key == "ro" || key == "rw")) {
    read_only_ = key == "ro";
    return {};
  }
  for (std::string_view ignored : {"sync", "async", "dirsync", "lazytime", "nolazytime", "mand"}) {
    if (flag && key == ignored) return {};
  }
  if (key == "source") {
    if (flag) return complain("Non-string source");
    if (!source_.empty()) return complain("Multiple sources");
    source_ = *value;
    return {};
  }
  if (!known) {
    if (known.error() != Errno(EINVAL)) return known;
    return complain((flag ? "Unknown parameter '" : "Bad value or unknown parameter '") + name +
                    "'");
  }
  const std::string option = flag ? name : name + "=" + *value;
  if (option.find(',') != option.npos) return complain("Bad value for '" + name + "'");
  if (options_.size() + option.size() + 1 > kMaxOptions) return complain("Too many options");
  options_ += (options_.empty() ? "" : ",") + option;
  return {};
}

Result<void> MountContext::set_other(std::string_view key) {
  Lock lock(mu_);
  if (state_ != State::kCreating && state_ != State::kReconfiguring) return Err(EBUSY);
  return complain("Unknown parameter '" + std::string(key) + "'");
}

Result<void> MountContext::create(const Maker& make) {
  std::string options;
  {
    Lock lock(mu_);
    if (state_ != State::kCreating) return Err(EBUSY);
    state_ = State::kFailed;  // Until it worked.
    options = options_;
  }
  Result<FsTree> tree = make(type_, options);
  Lock lock(mu_);
  if (!tree) return Err(tree.error());
  if (read_only_ == 1) TRY(tree->fs->set_read_only(true));
  made_ = *std::move(tree);
  state_ = State::kMade;
  return {};
}

Result<void> MountContext::reconfigure() {
  Ref<FileSystem> fs;
  std::string options;
  int read_only;
  {
    Lock lock(mu_);
    if (state_ != State::kReconfiguring) return Err(EBUSY);
    fs = fs_;
    options.swap(options_);
    read_only = std::exchange(read_only_, -1);
  }
  if (!options.empty()) TRY(fs->remount(options));
  if (read_only >= 0) TRY(fs->set_read_only(read_only));
  return {};
}

Result<MountContext::Made> MountContext::take() {
  Lock lock(mu_);
  if (state_ == State::kReconfiguring) return Err(EBUSY);
  if (state_ != State::kMade) return Err(EINVAL);
  state_ = State::kReconfiguring;
  fs_ = made_.fs;
  options_.clear();
  read_only_ = -1;
  return Made{std::exchange(made_, {}), source_.empty() ? "none" : source_};
}

Result<std::string> MountContext::next_message() {
  Lock lock(mu_);
  if (messages_.empty()) return Err(ENODATA);
  std::string text = std::move(messages_.front());
  messages_.pop_front();
  return text;
}

}  // namespace usk
