#include "fs/image/image_fs.h"

#include "fs/vfs/bounce.h"
#include "fs/vfs/saving.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/open.h"
#include "state/image/contents.h"

namespace usk {

USK_SAVED(ImageFs, "fs/image/image-fs")
USK_SAVED(ImageInode, "fs/image/inode")
USK_SAVED(ImageFile, "fs/image/file")
USK_SAVED(ImageDirFile, "fs/image/dir-file")

OrFailure<uint64_t> ImageFs::save(state::Services& services) const {
  return TRY(services.get<state::ContentsWriter>())
      ->keep(store_, state::ContentsWriter::Changes::kNever);
}

OrFailure<void> ImageFs::load(uint64_t contents, state::Services& services) {
  store_ = TRY(TRY(services.get<state::ContentsReader>())->file(contents));
  return {};
}

OrFailure<void> ImageInode::restored(state::Restored& r) {
  TRY(Inode::restored(r));
  for (const auto& [name, child] : children_) {
    if (!child) return fail("a name without a file");
  }
  // Within its store; what lies behind its end there reads as the end.
  if (offset_ > INT64_MAX || size() > INT64_MAX - offset_) return fail("contents that cannot be");
  return check_is<ImageFs>(fs());
}

OrFailure<void> ImageFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<ImageInode>(*this);
}

OrFailure<void> ImageDirFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<ImageInode>(*this);
}
namespace {

constexpr uint64_t kImageMagic = 0x75736b69;

}  // namespace

Result<FsStat> ImageFs::statfs() {
  FsStat s;
  s.type = kImageMagic;
  s.blocks = (TRY(host::stat_at(*store_, "")).stx_blocks * 512 + 4095) / 4096;
  return s;
}

ImageInode::ImageInode(Ref<ImageFs> fs, Ino ino, const Attr& attr)
    : Inode(std::move(fs), ino, attr.mode & S_IFMT), attr_(attr) {
  attr_.ino = ino;
  attr_.dev = this->fs().dev();
}

Result<Ref<Inode>> ImageInode::lookup(std::string_view name) {
  if (!is_dir()) return Err(ENOTDIR);
  auto it = children_.find(name);
  if (it == children_.end()) return Err(ENOENT);
  return it->second;
}

Result<std::string> ImageInode::readlink() {
  if (!is_symlink()) return Err(EINVAL);
  return target_;
}

Result<Ref<File>> ImageInode::open(Path path, int flags, Ref<const Creds> creds) {
  if (is_dir()) return make_ref<ImageDirFile>(std::move(path), flags, std::move(creds));
  if (!is_regular()) return Err(ENXIO);  // Special files are the overlay's business.
  if ((flags & O_ACCMODE) != O_RDONLY) return Err(EROFS);
  return make_ref<ImageFile>(std::move(path), flags, std::move(creds));
}

Result<std::string> ImageInode::getxattr(std::string_view name) {
  auto it = xattrs_.find(name);
  if (it == xattrs_.end()) return Err(ENODATA);
  return it->second;
}

Result<std::vector<std::string>> ImageInode::listxattr() {
  std::vector<std::string> names;
  for (const auto& [name, value] : xattrs_) names.push_back(name);
  return names;
}

std::vector<DirEntry> ImageInode::list() const {
  std::vector<DirEntry> out;
  out.reserve(children_.size());
  for (const auto& [name, child] : children_) {
    out.push_back({name, child->ino(), uint8_t(child->type() >> 12)});
  }
  return out;
}

Result<Ref<HostFd>> ImageInode::own_file() {
  Lock lock(mu_);
  if (own_file_) return own_file_;
  auto made = make_ref<HostFd>(TRY(host::memory_file("usk-image-file")));
  TRY(host::ftruncate(*made, size()));
  TRY(host::copy_range(image().store(), offset_, *made, 0, size()));
  // Shared mappings of it are for reading: nothing changes an image.
  own_file_ = make_ref<HostFd>(TRY(host::reopen(made->get(), O_RDONLY)));
  return own_file_;
}

Result<size_t> ImageFile::read(IoOut& dst, uint64_t& pos) {
  size_t done = 0;
  while (dst.size() > 0 && pos < node().size()) {
    std::span<std::byte> buffer =
        bounce_buffer(std::min<uint64_t>(dst.size(), node().size() - pos));
    Result<size_t> n = host::pread(node().image().store(), buffer, node().offset() + pos);
    if (!n && done == 0) return n;
    if (!n || *n == 0) break;
    Result<size_t> put = dst.put(buffer.first(*n));
    if (!put && done == 0) return put;
    if (!put) break;
    done += *put;
    pos += *put;
    if (*put < *n) break;
  }
  return done;
}

// Holes are not shown: all of it is data.
Result<uint64_t> ImageFile::seek(int64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(offset, whence);
  if (offset < 0 || uint64_t(offset) >= node().size()) return Err(ENXIO);
  Lock lock(pos_mutex());
  return pos_locked() = whence == SEEK_DATA ? uint64_t(offset) : node().size();
}

Result<MmapBacking> ImageFile::mmap(uint64_t offset, uint64_t, int, int) {
  return MmapBacking{TRY(node().own_file()), offset, false};
}

}  // namespace usk
