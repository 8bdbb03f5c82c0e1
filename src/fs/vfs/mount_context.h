// fsopen(2), fspick(2): a file system that is being put together, or changed.
#pragma once
#include <deque>
#include <functional>
#include <string>

#include "base/fields.h"
#include "base/lock.h"
#include "fs/vfs/mount.h"

namespace usk {

// The options given so far, what they made, and messages about what went wrong. Its calls are
// fsconfig(2)'s, one at a time (EBUSY: in another state).
class MountContext final : public RefCounted {
 public:
  // Makes a file system of the type from options such as mount(2) takes; EINVAL for bad ones.
  using Maker = std::function<Result<FsTree>(std::string_view type, std::string_view options)>;
  // Whether a file system of the type knows the option: else EINVAL.
  using Check = std::function<Result<void>(std::string_view type, std::string_view option)>;

  explicit MountContext(std::string type) : type_(std::move(type)) {}
  // fspick(2)
  explicit MountContext(Ref<FileSystem> fs)
      : type_(fs->type()), state_(State::kReconfiguring), fs_(std::move(fs)) {}

  explicit MountContext(Blank) {}

  // FSCONFIG_SET_FLAG (no value) and FSCONFIG_SET_STRING.
  Result<void> set(std::string_view key, const std::string* value, const Check& check)
      EXCLUDES(mu_);
  // A value that no option here takes: binary, a path, a descriptor.
  Result<void> set_other(std::string_view key) EXCLUDES(mu_);
  Result<void> create(const Maker& make) EXCLUDES(mu_);
  Result<void> reconfigure() EXCLUDES(mu_);
  // fsmount(2): what was made, once. EINVAL before, EBUSY after.
  struct Made {
    FsTree tree;
    std::string source;
  };
  Result<Made> take() EXCLUDES(mu_);
  // The oldest message; ENODATA.
  Result<std::string> next_message() EXCLUDES(mu_);

  USK_FIELDS(type_, state_, fs_, options_, source_, read_only_, made_, messages_)

 private:
  enum class State { kCreating, kMade, kReconfiguring, kFailed };
  friend constexpr State saved_max(State) { return State::kFailed; }
  static constexpr size_t kMaxMessages = 8, kMaxOptions = 4095;
  Result<void> complain(std::string text) REQUIRES(mu_);

  std::string type_;
  Mutex<Rank::kFile> mu_;
  State state_ GUARDED_BY(mu_) = State::kCreating;
  Ref<FileSystem> fs_ GUARDED_BY(mu_);  // What is reconfigured.
  std::string options_ GUARDED_BY(mu_), source_ GUARDED_BY(mu_);
  int read_only_ GUARDED_BY(mu_) = -1;  // As asked: -1 for not.
  FsTree made_ GUARDED_BY(mu_);
  std::deque<std::string> messages_ GUARDED_BY(mu_);
};

}  // namespace usk
