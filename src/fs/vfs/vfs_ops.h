// What system calls do to files by name: permissions, names and notification, on top of the walk.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/vfs/dentry.h"
#include "fs/vfs/file.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/walk.h"

// Each function is the system call of its name for a caller with `ctx`; `at` is the directory a
// relative `path` starts from (ctx.cwd for AT_FDCWD). All fail with the errors of their man page.
namespace usk::vfs {

// open(2), openat2(2). `resolve` is kNoXdev ... kCachedOnly of WalkFlags. The caller rejects
// flags and modes that openat2() would. EAGAIN with kCachedOnly: not in the cache; else: a lease is
// in the way (Leases::queue()), unless `break_leases` says that its holder had the time to go.
struct OpenHow {
  int flags = 0;
  uint32_t mode = 0;
  uint32_t resolve = 0;
  bool break_leases = false;
};
Result<Ref<File>> open(const WalkContext& ctx, const Path& at, std::string_view path,
                       const OpenHow& how);
// Opens a place that was found already (a /proc/PID/fd link's goal, O_PATH descriptors).
Result<Ref<File>> open_place(const WalkContext& ctx, const Path& place, int flags);

Result<void> mkdir(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t mode);
Result<void> mknod(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t mode,
                   Dev rdev);
// Binds a socket: mknod of S_IFSOCK that gives the new place (bind(2); EADDRINUSE for EEXIST is
// the socket's business).
Result<Path> make_socket(const WalkContext& ctx, const Path& at, std::string_view path,
                         uint32_t mode);
Result<void> symlink(const WalkContext& ctx, std::string_view target, const Path& at,
                     std::string_view path);
// linkat(2): `from` is the file to link, links followed or not as the flags said.
Result<void> link(const WalkContext& ctx, const Path& from, const Path& at, std::string_view path);
Result<void> unlink(const WalkContext& ctx, const Path& at, std::string_view path);
Result<void> rmdir(const WalkContext& ctx, const Path& at, std::string_view path);
Result<void> rename(const WalkContext& ctx, const Path& from_at, std::string_view from,
                    const Path& to_at, std::string_view to, uint32_t flags);

// readlinkat(2) of a link found without following it.
Result<std::string> readlink(const WalkContext& ctx, const Path& link);

// Attributes of a place. Ids are kernel ids.
Result<void> chmod(const WalkContext& ctx, const Path& place, uint32_t mode);
Result<void> chown(const WalkContext& ctx, const Path& place, std::optional<Uid> uid,
                   std::optional<Gid> gid);
// utimensat(2): tv_nsec may be UTIME_NOW or UTIME_OMIT.
Result<void> utimens(const WalkContext& ctx, const Path& place, const timespec& atime,
                     const timespec& mtime);
Result<void> truncate(const WalkContext& ctx, const Path& place, uint64_t size);
Result<void> ftruncate(File& file, uint64_t size);
// fallocate(2) with its checks of mode, range and file.
Result<void> fallocate(File& file, int mode, int64_t offset, int64_t length);
// access(2) with the credentials of `ctx` (real ids are the caller's business). `may` is
// kMay* bits.
Result<void> access(const WalkContext& ctx, const Path& place, uint32_t may);
// Whether execve(2) may run what stands there: a regular file, executable, no noexec.
Result<void> may_execute(const WalkContext& ctx, const Path& place);
// chdir(2), chroot(2): a directory that may be searched.
Result<void> may_enter(const WalkContext& ctx, const Path& place);
// statfs(2), with the mount's flags.
Result<FsStat> statfs(const Path& place);

// xattr(7), with the rules of the namespaces user., trusted. and security.
Result<std::string> getxattr(const WalkContext& ctx, const Path& place, std::string_view name);
Result<void> setxattr(const WalkContext& ctx, const Path& place, std::string_view name,
                      std::string_view value, int flags);
Result<std::vector<std::string>> listxattr(const WalkContext& ctx, const Path& place);
Result<void> removexattr(const WalkContext& ctx, const Path& place, std::string_view name);

// What the functions above share.
Result<void> check_writable(const Path& place);
// May a name be made in `dir`?
Result<void> may_create(const WalkContext& ctx, const Path& dir);
// May `victim` be removed from `dir` (sticky directories), as a directory or as something else?
Result<void> may_delete(const WalkContext& ctx, const Path& dir, Dentry& victim, bool as_dir);

}  // namespace usk::vfs
