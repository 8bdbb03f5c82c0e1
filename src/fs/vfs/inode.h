// inode(7): a file apart from its names.
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/vfs/file.h"
#include "fs/vfs/path.h"
#include "fs/vfs/types.h"

namespace usk {

class FileLocks;    // fs/vfs/locks.h
class FileSystem;   // fs/vfs/file_system.h
class InodeMarks;   // inotify's marks (fs/vfs/notify.h)
class WalkContext;  // fs/vfs/walk.h

// One file of a file system. The path walk and the syscalls check permissions, types and names
// first; an inode only does. Names are single components without '/', not "." or "..", at most
// 255 bytes.
class Inode : public RefCounted {
 public:
  // `type` is one of S_IF*; it never changes.
  Inode(Ref<FileSystem> fs, Ino ino, uint32_t type);
  explicit Inode(Blank);
  ~Inode() override;

  FileSystem& fs() const { return *fs_; }
  // Always, but of one that is being loaded.
  bool has_fs() const { return bool(fs_); }
  bool is_whole() const { return has_fs(); }
  Ino ino() const { return ino_; }
  uint32_t type() const { return type_; }
  bool is_dir() const { return S_ISDIR(type_); }
  bool is_symlink() const { return S_ISLNK(type_); }
  bool is_regular() const { return S_ISREG(type_); }

  virtual Result<Attr> getattr() = 0;
  virtual Result<void> setattr(const AttrChange& change) { return Err(EPERM); }
  // Generic mode-bit check of capabilities(7) and inode(7); override for other rules.
  virtual Result<void> permission(uint32_t may, const Creds& creds);

  // Directories. lookup() of an absent name is ENOENT.
  virtual Result<Ref<Inode>> lookup(std::string_view name) { return Err(ENOTDIR); }
  // `mode` has its type bits; for a directory, regular file, FIFO, socket or device. `owner`
  // gives ids; setgid directories are the implementer's business (tmpfs).
  virtual Result<Ref<Inode>> mknod(std::string_view name, uint32_t mode, Dev rdev,
                                   const Creds& owner) {
    return Err(EPERM);
  }
  virtual Result<Ref<Inode>> symlink(std::string_view name, std::string_view target,
                                     const Creds& owner) {
    return Err(EPERM);
  }
  virtual Result<void> link(std::string_view name, Inode& target) { return Err(EPERM); }
  virtual Result<void> unlink(std::string_view name, Inode& victim) { return Err(EPERM); }
  virtual Result<void> rmdir(std::string_view name, Inode& victim) { return Err(EPERM); }
  // flags: RENAME_*; `target` is what stands at the new name, or null.
  virtual Result<void> rename(std::string_view name, Inode& source, Inode& new_dir,
                              std::string_view new_name, Inode* target, uint32_t flags) {
    return Err(EPERM);
  }
  virtual Result<Ref<Inode>> tmpfile(uint32_t mode, const Creds& owner) { return Err(EOPNOTSUPP); }
  // Whether a dentry cache may keep names of this directory without asking again. Where not,
  // each walk looks up anew; an inode with the number and type of the cached one is the same.
  virtual bool names_are_stable() const { return true; }

  // Symbolic links. A magic link (procfs) goes to a place, not to a string.
  virtual Result<std::string> readlink() { return Err(EINVAL); }
  virtual bool is_magic_link() const { return false; }
  virtual Result<Path> follow_magic(const WalkContext& ctx) { return Err(ELOOP); }

  // Opens it. `path` is how it was found; `flags` as open(2), already checked; `creds` opens.
  virtual Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) {
    return Err(ENXIO);
  }

  // xattr(7). get() of an absent name is ENODATA.
  virtual Result<std::string> getxattr(std::string_view name) { return Err(EOPNOTSUPP); }
  virtual Result<void> setxattr(std::string_view name, std::string_view value, int flags) {
    return Err(EOPNOTSUPP);
  }
  virtual Result<std::vector<std::string>> listxattr() { return std::vector<std::string>{}; }
  virtual Result<void> removexattr(std::string_view name) { return Err(EOPNOTSUPP); }

  // Advisory locks and inotify marks; made at first use. Shared by all who open the inode.
  FileLocks& locks();
  InodeMarks& marks();
  bool has_marks() const;
  bool has_locks() const;

  // execve(2) against open(2) for writing: either some write or some execute (ETXTBSY).
  Result<void> get_write_access();
  void put_write_access();
  Result<void> deny_write_access();
  void allow_write_access();

  // The object behind a special file's name, shared by all who open it: the pipe of a FIFO, the
  // socket bound to a name. Null until attached; attach() returns the one that is there if
  // another was quicker. Holding it is the owner's business to end (detach).
  Ref<RefCounted> attached();
  Ref<RefCounted> attach(Ref<RefCounted> object);
  void detach(const RefCounted* object);

  template <class A>
  void fields(A& ar) {
    Ref<RefCounted> extras = saved_extras();
    ar.all("fs_, ino_, type_, extras_", fs_, ino_, type_, extras);
    if constexpr (A::kLoading) {
      if (!load_extras(extras)) ar.fail("no locks");
    }
  }
  // Subclasses with their own call this first.
  OrFailure<void> restored(state::Restored&);

  struct Extras;  // In inode.cc.

 private:
  Ref<FileSystem> fs_;
  Ino ino_;                      // Never changes.
  uint32_t type_;                // Likewise.
  std::atomic<int> writers_{0};  // Below zero: so many execute it.
  std::atomic<Extras*> extras_{nullptr};
  Extras& extras();
  // What of them is state; null: nothing.
  Ref<RefCounted> saved_extras() const;
  bool load_extras(const Ref<RefCounted>& loaded);
};

}  // namespace usk
