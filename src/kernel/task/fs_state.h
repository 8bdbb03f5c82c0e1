// Root, working directory and umask of a process (Linux's fs_struct).
#pragma once
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "fs/vfs/path.h"

namespace usk {

// Shared by tasks made with CLONE_FS.
class FsState final : public RefCounted {
 public:
  FsState(Path root, Path cwd, uint32_t umask)
      : root_(std::move(root)), cwd_(std::move(cwd)), umask_(umask) {}
  explicit FsState(Blank) {}
  Path root() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return root_;
  }
  Path cwd() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return cwd_;
  }
  uint32_t umask() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return umask_;
  }
  void set_root(Path p) EXCLUDES(mu_) {
    Lock lock(mu_);
    std::swap(root_, p);
  }
  void set_cwd(Path p) EXCLUDES(mu_) {
    Lock lock(mu_);
    std::swap(cwd_, p);
  }
  uint32_t set_umask(uint32_t mask) EXCLUDES(mu_) {
    Lock lock(mu_);
    return std::exchange(umask_, mask);
  }
  Ref<FsState> clone() const { return make_ref<FsState>(root(), cwd(), umask()); }

  USK_FIELDS(root_, cwd_, umask_)

 private:
  mutable Mutex<Rank::kLeaf> mu_;
  Path root_ GUARDED_BY(mu_);
  Path cwd_ GUARDED_BY(mu_);
  uint32_t umask_ GUARDED_BY(mu_) = 0;
};

}  // namespace usk
