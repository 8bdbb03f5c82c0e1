// An open directory that reads a listing once and serves it by index.
#pragma once
#include <string>
#include <vector>

#include "fs/vfs/dir.h"
#include "fs/vfs/file.h"

namespace usk {

struct DirEntry {
  std::string name;
  Ino ino = 0;
  uint8_t type = 0;  // DT_*
  USK_FIELDS(name, ino, type)
};

// Entries "." and ".." come first, then those of list(), taken when reading begins and again
// after rewinddir(3): positions stay valid whatever happens to the directory meanwhile.
class SnapshotDirFile : public File {
 public:
  SnapshotDirFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek, std::move(creds)) {}
  explicit SnapshotDirFile(Blank b) : File(b) {}
  Result<size_t> read(IoOut&, uint64_t&) override { return Err(EISDIR); }
  Result<void> read_dir(DirSink& sink, uint64_t& pos) override;
  Result<void> fsync(bool) override { return {}; }
  USK_FIELDS_OF(File, entries_, taken_)

 protected:
  // The names of the directory without "." and "..".
  virtual Result<std::vector<DirEntry>> list() = 0;

 private:
  std::vector<DirEntry> entries_;  // Guarded by pos_mutex(), which read_dir()'s caller holds.
  bool taken_ = false;
};

// Emits "." (position 0) and ".." (position 1) of the directory at `path`; false: sink is full.
bool emit_dots(const Path& path, DirSink& sink, uint64_t& pos);

// Whether a read through `path` with open flags `flags` updates the access time at all.
bool wants_atime(const Path& path, int flags);
// Linux's relatime: whether an access time is old enough to be renewed.
bool atime_is_stale(const Attr& attr, const timespec& now);

}  // namespace usk
