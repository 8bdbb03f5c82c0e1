// The host's files, as typed calls. Paths are always relative to a held descriptor.
#pragma once
#include <sys/stat.h>
#include <sys/statfs.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ref.h"
#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// openat2(2) that never leaves `dir`, and follows no link of any kind. O_CLOEXEC is added.
Result<Ref<HostFd>> open_beneath(const HostFd& dir, const std::string& path, int flags,
                                 uint32_t mode = 0);
// The start of everything else: a directory the user named. Follows links; O_PATH.
Result<Ref<HostFd>> open_dir(const std::string& path);
// The same for anything that a user may have named; O_PATH.
Result<Ref<HostFd>> open_place(const std::string& path);

// statx(2) of `name` in `dir` (links not followed), or of `dir` itself when it is empty.
Result<struct statx> stat_at(const HostFd& dir, const std::string& name);
Result<struct statfs> statfs_of(const HostFd& fd);

Result<size_t> pread(const HostFd& fd, std::span<std::byte> dst, uint64_t offset);
Result<size_t> pwrite(const HostFd& fd, std::span<const std::byte> src, uint64_t offset);
// Appends, whatever the flags of the descriptor; returns the bytes written.
Result<size_t> pwrite_append(const HostFd& fd, std::span<const std::byte> src);
Result<uint64_t> lseek(const HostFd& fd, int64_t offset, int whence);
Result<void> ftruncate(const HostFd& fd, uint64_t size);
Result<void> fallocate(const HostFd& fd, int mode, uint64_t offset, uint64_t length);
Result<void> fsync(const HostFd& fd, bool data_only);
// Copies up to `length` bytes within the host; less at the end of `from`.
Result<uint64_t> copy_range(const HostFd& from, uint64_t from_offset, const HostFd& to,
                            uint64_t to_offset, uint64_t length);

Result<std::string> readlink_at(const HostFd& dir, const std::string& name);
struct HostDirEntry {
  std::string name;
  uint64_t ino;
  uint8_t type;  // DT_*
};
// All entries but "." and "..". `dir` is open for reading.
// How many descriptors this process may have open; raise_max_open_files() makes it as many as
// the host lets it have.
size_t max_open_files();
void raise_max_open_files();

Result<std::vector<HostDirEntry>> read_dir(const HostFd& dir);

Result<void> mkdir_at(const HostFd& dir, const std::string& name, uint32_t mode);
Result<void> mknod_at(const HostFd& dir, const std::string& name, uint32_t mode, uint64_t rdev);
Result<void> symlink_at(const std::string& target, const HostFd& dir, const std::string& name);
Result<void> link_at(const HostFd& from_dir, const std::string& from, const HostFd& dir,
                     const std::string& name);
// Gives a file that was opened with O_TMPFILE a name.
Result<void> link_fd(const HostFd& fd, const HostFd& dir, const std::string& name);
Result<void> unlink_at(const HostFd& dir, const std::string& name, int flags);
Result<void> rename_at(const HostFd& from_dir, const std::string& from, const HostFd& to_dir,
                       const std::string& to, uint32_t flags);

// Changes of attributes; `name` is in `dir`, links are not followed.
// Of an open file: -1 keeps an owner.
Result<void> chmod_fd(const HostFd& fd, uint32_t mode);
Result<void> chown_fd(const HostFd& fd, uint32_t uid, uint32_t gid);
Result<void> utimens_fd(const HostFd& fd, const timespec (&times)[2]);
Result<void> chmod_at(const HostFd& dir, const std::string& name, uint32_t mode);
Result<void> chown_at(const HostFd& dir, const std::string& name, uint32_t uid, uint32_t gid);
Result<void> utimens_at(const HostFd& dir, const std::string& name, const timespec (&times)[2]);

// flock(2), until the descriptor is closed; waits for others.
Result<void> lock_exclusive(const HostFd& fd);
// ... or fails with EWOULDBLOCK.
Result<void> try_lock_exclusive(const HostFd& fd);

// xattr(7) of an open file.
Result<std::string> getxattr(const HostFd& fd, const std::string& name);
Result<void> setxattr(const HostFd& fd, const std::string& name, std::string_view value, int flags);
Result<std::vector<std::string>> listxattr(const HostFd& fd);
Result<void> removexattr(const HostFd& fd, const std::string& name);

// CLOCK_REALTIME, for timestamps of files.
timespec now_realtime();
uint32_t effective_uid();
void effective_uid_changed();  // It is asked for anew: what a user namespace calls it.
uint32_t effective_gid();
uint32_t real_uid();
uint32_t real_gid();

}  // namespace usk::host
