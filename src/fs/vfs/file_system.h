// A mounted file system's own state, shared by its mounts (Linux's superblock).
#pragma once
#include <atomic>
#include <string>
#include <string_view>

#include "base/ref.h"
#include "fs/vfs/inode.h"
#include "fs/vfs/types.h"

namespace usk {

class FileSystem : public RefCounted {
 public:
  explicit FileSystem(std::string type);
  explicit FileSystem(Blank) : dev_(0) {}
  const std::string& type() const { return type_; }  // As /proc/mounts names it.
  Dev dev() const { return dev_; }                   // st_dev: major 0, a minor of its own.
  virtual Result<FsStat> statfs() = 0;
  // Options for /proc/mounts after the generic ones, such as ",size=64k".
  virtual std::string options() const { return {}; }
  // Read-only whatever the mount says.
  virtual bool read_only() const { return read_only_; }
  // EBUSY: some have files of it open for writing.
  Result<void> set_read_only(bool read_only);
  void count_writer(int delta) { writers_.fetch_add(delta); }
  // mount(2) with MS_REMOUNT: new options of the file system itself.
  virtual Result<void> remount(std::string_view options) { return {}; }
  // Counts the mounts that show it; returns how many there are now.
  int count_mount(int delta) { return mounts_.fetch_add(delta) + delta; }

  USK_FIELDS(type_, dev_, read_only_)

 private:
  std::string type_;
  Dev dev_;
  std::atomic<int> mounts_{0}, writers_{0};
  std::atomic<bool> read_only_{false};
};

}  // namespace usk
