#include "fs/overlay/overlay_file.h"

#include <sys/mman.h>

#include "fs/overlay/overlay_dir.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/saving.h"

namespace usk {

USK_SAVED(OverlayRegular, "fs/overlay/regular")
USK_SAVED(OverlayFile, "fs/overlay/file")

OrFailure<void> OverlayRegular::restored(state::Restored& r) {
  TRY(MemRegular::restored(r));
  if (!lower_ || !lower_->is_regular()) return fail("a layer that has no such file");
  return check_is<OverlayFs>(fs());
}

OrFailure<void> OverlayFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<OverlayRegular>(*this);
}

OverlayRegular::OverlayRegular(Ref<OverlayFs> fs, Ino ino, const NodeInit& init, Ref<Inode> lower)
    : MemRegular(std::move(fs), ino, init, /*charged=*/false), lower_(std::move(lower)) {}

// The lower file by itself, outside every mount.
Result<Ref<File>> OverlayRegular::open_lower(Ref<const Creds> creds) {
  Path place({}, Dentry::make_anonymous(lower_, ""));
  return lower_->open(std::move(place), O_RDONLY, std::move(creds));
}

Result<Ref<File>> OverlayRegular::open(Path path, int flags, Ref<const Creds> creds) {
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
  if (writes) {
    TRY(before_change());
    TRY(need_contents(flags & O_TRUNC ? 0 : UINT64_MAX));
  }
  Ref<File> lower;
  if (!copied()) lower = TRY(open_lower(creds));
  return make_ref<OverlayFile>(std::move(path), flags, std::move(creds), std::move(lower));
}

void OverlayRegular::fill_size(Attr& attr) {
  if (copied()) MemRegular::fill_size(attr);  // Else they came with the lower attributes.
}

Result<void> OverlayRegular::load_xattrs() {
  return fetch_xattrs(*lower_, xattrs_loaded_, [this](const std::string& name, std::string v) {
    adopt_xattr(name, std::move(v));
  });
}

Result<void> OverlayRegular::need_contents(uint64_t keep) {
  if (copied()) return {};
  Lock order(copy_mu_);
  if (copied()) return {};
  const uint64_t size = std::min(keep, TRY(lower_->getattr()).size);
  if (size > 0) {
    // The kernel reads for itself: whoever may write need not be allowed to read.
    Ref<File> from = TRY(open_lower({}));
    TRY(copy(*from, size));
  }
  copied_.store(true, std::memory_order_release);
  return {};
}

Result<void> OverlayRegular::copy(File& from, uint64_t size) {
  if (auto host = from.mmap(0, size, PROT_READ, MAP_PRIVATE); host && host->fd) {
    Lock lock(mu_);
    return data_.fill_from(*host->fd, host->offset, size);
  }
  for (uint64_t at = 0; at < size;) {
    std::vector<std::byte> buffer(std::min<uint64_t>(256 << 10, size - at));
    KernelOut out(buffer);
    uint64_t pos = at;
    const size_t n = TRY(from.read(out, pos));
    if (n == 0) break;
    Lock lock(mu_);
    Result<size_t> done = data_.write(at, std::span(buffer).first(n));
    if (!done || *done < n) {
      TRY(data_.resize(0));
      return done ? Err(ENOSPC) : Err(done.error());
    }
    at += n;
  }
  return {};
}

bool OverlayFile::reads_lower() const {
  return lower_ && !static_cast<OverlayRegular&>(inode()).copied();
}

Result<size_t> OverlayFile::read(IoOut& dst, uint64_t& pos) {
  if (!reads_lower()) return MemFile::read(dst, pos);
  const size_t n = TRY(lower_->read(dst, pos));
  static_cast<MemInode&>(inode()).touch_read(*this);
  if (n > 0) notify_dentry(*path().dentry, IN_ACCESS);
  return n;
}

Result<uint64_t> OverlayFile::seek(int64_t offset, int whence) {
  if ((whence != SEEK_DATA && whence != SEEK_HOLE) || !reads_lower()) {
    return MemFile::seek(offset, whence);
  }
  const uint64_t to = TRY(lower_->seek(offset, whence));
  Lock lock(pos_mutex());
  return pos_locked() = to;
}

Result<MmapBacking> OverlayFile::mmap(uint64_t offset, uint64_t length, int prot, int flags) {
  if (!reads_lower()) return MemFile::mmap(offset, length, prot, flags);
  // Opened for reading: Linux, too, shows such a mapping the lower file for ever.
  MmapBacking backing = TRY(lower_->mmap(offset, length, prot, flags));
  backing.writable = false;
  return backing;
}

}  // namespace usk
