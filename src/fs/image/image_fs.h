// A tree of files that was unpacked into memory and does not change: what --root TAR shows.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "fs/vfs/dir_file.h"
#include "fs/vfs/file.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/inode.h"
#include "host/host_fd.h"

namespace usk {

// The lower layer of an overlay; nobody writes to it once it is built (image_builder.h). The
// contents of all its files lie in one memory file of the host, each at the beginning of a page:
// thousands of files need no more than one descriptor.
class ImageFs final : public FileSystem {
 public:
  explicit ImageFs(Ref<HostFd> store) : FileSystem("image"), store_(std::move(store)) {}
  explicit ImageFs(Blank b) : FileSystem(b) {}
  Result<FsStat> statfs() override;
  bool read_only() const override { return true; }
  const HostFd& store() const { return *store_; }
  const Ref<HostFd>& store_ref() const { return store_; }

  template <class A>
  void fields(A& ar) {
    ar.template base<FileSystem>("FileSystem", *this);
    uint64_t contents = 0;
    if constexpr (SavesState<A>) {
      if (auto kept = save(ar.services()); kept) {
        contents = *kept;
      } else {
        ar.fail(kept.error().message);
      }
    }
    ar.all("contents", contents);
    if constexpr (A::kLoading) {
      if (ar.failed()) return;
      if (auto done = load(contents, ar.services()); !done) ar.fail(done.error().message);
    }
  }

 private:
  OrFailure<uint64_t> save(state::Services& services) const;
  OrFailure<void> load(uint64_t contents, state::Services& services);
  Ref<HostFd> store_;
};

class ImageInode final : public Inode {
 public:
  ImageInode(Ref<ImageFs> fs, Ino ino, const Attr& attr);

  explicit ImageInode(Blank b) : Inode(b) {}

  Result<Attr> getattr() override { return attr_; }
  Result<Ref<Inode>> lookup(std::string_view name) override;
  Result<std::string> readlink() override;
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;
  Result<std::string> getxattr(std::string_view name) override;
  Result<std::vector<std::string>> listxattr() override;

  ImageFs& image() const { return static_cast<ImageFs&>(fs()); }
  uint64_t size() const { return attr_.size; }
  uint64_t offset() const { return offset_; }  // In the store.
  std::vector<DirEntry> list() const;
  // A host file of these contents alone. The store is no good for mmap(2): behind the end of this
  // file it has other files, which whoever maps may not be allowed to see.
  Result<Ref<HostFd>> own_file() EXCLUDES(mu_);

  USK_FIELDS_OF(Inode, attr_, children_, target_, xattrs_, offset_)
  OrFailure<void> restored(state::Restored& r);

 private:
  friend class ImageBuilder;
  Attr attr_;
  std::map<std::string, Ref<ImageInode>, std::less<>> children_;
  std::string target_;
  std::map<std::string, std::string, std::less<>> xattrs_;
  uint64_t offset_ = 0;
  uint32_t layer_ = 0;    // Which layer brought it ...
  uint32_t touched_ = 0;  // ... and the last that put something into it.
  uint32_t depth_ = 0;
  Mutex<Rank::kLeaf> mu_;
  Ref<HostFd> own_file_ GUARDED_BY(mu_);  // Derived; kept once made.
};

class ImageFile final : public File {
 public:
  ImageFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)) {}
  explicit ImageFile(Blank b) : File(b) {}
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  Result<uint64_t> seek(int64_t offset, int whence) override;
  Result<MmapBacking> mmap(uint64_t offset, uint64_t length, int prot, int flags) override;
  Result<void> fsync(bool) override { return {}; }
  USK_FIELDS_OF(File)
  OrFailure<void> restored(state::Restored& r);

 private:
  ImageInode& node() const { return static_cast<ImageInode&>(inode()); }
};

class ImageDirFile final : public SnapshotDirFile {
 public:
  using SnapshotDirFile::SnapshotDirFile;
  USK_FIELDS_OF(SnapshotDirFile)
  OrFailure<void> restored(state::Restored& r);

 protected:
  Result<std::vector<DirEntry>> list() override { return static_cast<ImageInode&>(inode()).list(); }
};

}  // namespace usk
