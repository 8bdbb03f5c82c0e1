// path_resolution(7): from a string to a place. The only code that takes paths apart.
#pragma once
#include <string>
#include <string_view>

#include "base/fields.h"
#include "base/ref.h"
#include "base/result.h"
#include "creds/creds.h"
#include "fs/vfs/guard.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/path.h"

namespace usk {

// /proc/sys/fs switches that resolution and links obey (proc(5)).
struct FsSysctls {
  bool protected_symlinks = true;
  bool protected_hardlinks = true;
  int protected_fifos = 1;
  int protected_regular = 2;
  USK_FIELDS(protected_symlinks, protected_hardlinks, protected_fifos, protected_regular)
};
FsSysctls& fs_sysctls();

// Whose walk it is: what Linux keeps in fs_struct, and the credentials. A call takes a copy, so
// that a concurrent chdir() or setuid() of a thread does not split it.
class WalkContext {
 public:
  Path root;
  Path cwd;
  Ref<const Creds> creds;
  Ref<MountNamespace> mounts;
  uint32_t umask = 022;
};

enum WalkFlags : uint32_t {
  kFollow = 1,         // Follow a symbolic link in the last component.
  kWantDirectory = 2,  // ENOTDIR for anything else.
  kEmptyPath = 4,      // "" is the start itself (AT_EMPTY_PATH); else ENOENT.
  kNoXdev = 8,         // openat2(2)'s RESOLVE_*
  kNoMagicLinks = 16,
  kNoSymlinks = 32,
  kBeneath = 64,
  kInRoot = 128,
  kCachedOnly = 256,
};
constexpr size_t kPathMax = 4096;  // With the terminating zero.
constexpr size_t kNameMax = 255;
constexpr int kMaxLinks = 40;

// Resolves `path` from `at` (ignored for an absolute path). The place exists.
Result<Path> walk(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t flags);

// All but the last component: for what makes, removes or renames a name.
struct LastComponent {
  enum class Kind { kName, kDot, kDotDot, kRoot };
  Path parent;       // A directory that may be searched.
  std::string name;  // Of kind kName.
  Kind kind = Kind::kName;
  bool trailing_slash = false;
};
Result<LastComponent> walk_parent(const WalkContext& ctx, const Path& at, std::string_view path,
                                  uint32_t flags);

// A walk in steps, for open(2) with O_CREAT, which looks at the last component itself.
class Walker {
 public:
  Walker(const WalkContext& ctx, uint32_t flags)
      : ctx_(ctx), flags_(installed_guard ? flags | installed_guard->walk_flags() : flags) {}
  // Resolves all but the last component of `path`, which outlives the walker; last() says what is
  // left.
  Result<void> to_last(const Path& at, std::string_view path);
  LastComponent& last() {
    last_.parent = at_;
    return last_;
  }
  // Goes on from `link`, a symbolic link in last().parent, to the last component it leads to;
  // or for a magic link to its goal, which arrived() then returns.
  Result<void> through_link(const Path& link);
  const Path& arrived() const { return arrived_; }
  // From a name to the place: through mounts. ENOENT for a negative one.
  Result<Path> step(const Path& dir, Ref<Dentry> child);
  // Resolves last(): the place it names, links followed per flags.
  Result<Path> finish();

 private:
  Result<void> start(const Path& at, std::string_view path);
  Result<void> run();  // Consumes rest_ up to the last component.
  Result<void> component(std::string_view name);
  Result<void> dot_dot();
  Result<void> follow(const Path& link, bool last);
  Result<void> jump_to_root();
  Result<void> check_search() const;
  Result<Ref<Dentry>> child(std::string_view name) const;
  const Path& root() const { return scoped_root_ ? scoped_root_ : ctx_.root; }

  const WalkContext& ctx_;
  const uint32_t flags_;
  Path scoped_root_;       // kBeneath, kInRoot: the start.
  Path at_;                // After run(): the parent of what last_ names.
  std::string_view rest_;  // The path as given, or link_.
  std::string link_;       // A symbolic link's target, with what came after the link.
  size_t offset_ = 0;
  int links_ = 0;
  LastComponent last_;
  Path arrived_;
};

}  // namespace usk
