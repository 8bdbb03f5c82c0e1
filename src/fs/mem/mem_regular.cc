#include "fs/mem/mem_regular.h"

#include <sys/mman.h>

#include "fs/vfs/bounce.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/saving.h"

namespace usk {

USK_SAVED(MemRegular, "fs/mem/regular")
USK_SAVED(MemFile, "fs/mem/file")

OrFailure<void> MemRegular::restored(state::Restored& r) {
  TRY(MemInode::restored(r));
  if (!is_regular()) return fail("a regular file that is none");
  return {};
}

OrFailure<void> MemFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<MemRegular>(*this);
}

MemRegular::MemRegular(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged)
    : MemInode(fs, ino, init, charged), data_(fs->quota()), seals_(F_SEAL_SEAL) {}

Result<Ref<File>> MemRegular::open(Path path, int flags, Ref<const Creds> creds) {
  return make_ref<MemFile>(std::move(path), flags, std::move(creds));
}

void MemRegular::fill_size(Attr& attr) {
  data_.sync_pages();
  attr.size = data_.size();
  attr.blocks = data_.pages() * (FileData::kPage / 512);
}

Result<size_t> MemRegular::read_at(IoOut& dst, uint64_t offset) {
  size_t done = 0;
  while (dst.size() > 0) {
    std::span<std::byte> buffer = bounce_buffer(dst.size());
    Result<size_t> n = [&]() -> Result<size_t> {
      Lock lock(mu_);
      return data_.read(offset + done, buffer);
    }();
    if (!n || *n == 0) {
      if (!n && done == 0) return n;
      break;
    }
    Result<size_t> put = dst.put(buffer.first(*n));
    if (!put && done == 0) return put;
    if (!put) break;
    done += *put;
    if (*put < *n) break;
  }
  return done;
}

Result<size_t> MemRegular::write_at(IoIn& src, uint64_t& pos, bool append) {
  TRY(before_change());
  TRY(need_contents(UINT64_MAX));
  size_t done = 0;
  while (src.size() > 0) {
    std::span<std::byte> buffer = bounce_buffer(src.size());
    Result<size_t> got = src.take(buffer);
    if (!got && done == 0) return got;
    if (!got || *got == 0) break;
    Lock lock(mu_);
    if (append) pos = data_.size();
    size_t allowed = *got;
    if (seals_ & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return Err(EPERM);
    if (seals_ & F_SEAL_GROW) {
      if (pos >= data_.size()) return done ? Result<size_t>(done) : Err(EPERM);
      allowed = std::min<uint64_t>(allowed, data_.size() - pos);
    }
    Result<size_t> n = data_.write(pos, buffer.first(allowed));
    if (!n && done == 0) return n;
    if (!n) break;
    touch_locked(kTouchMtime | kTouchCtime);
    pos += *n;
    done += *n;
    if (*n < buffer.size()) break;
  }
  return done;
}

Result<void> MemRegular::resize(uint64_t size) {
  TRY(need_contents(size));
  Lock lock(mu_);
  if ((seals_ & F_SEAL_SHRINK) && size < data_.size()) return Err(EPERM);
  if ((seals_ & F_SEAL_GROW) && size > data_.size()) return Err(EPERM);
  TRY(data_.resize(size));
  touch_locked(kTouchMtime | kTouchCtime);
  return {};
}

Result<uint64_t> MemRegular::seek_data(uint64_t offset, bool hole) {
  Lock lock(mu_);
  return hole ? data_.seek_hole(offset) : data_.seek_data(offset);
}

Result<void> MemRegular::allocate(int mode, uint64_t offset, uint64_t length) {
  TRY(before_change());
  TRY(need_contents(UINT64_MAX));
  Lock lock(mu_);
  if (mode & FALLOC_FL_PUNCH_HOLE) {
    if (seals_ & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)) return Err(EPERM);
    TRY(data_.punch(offset, length));
  } else {
    const bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && offset + length > data_.size();
    if (grows && (seals_ & F_SEAL_GROW)) return Err(EPERM);
    TRY(data_.allocate(offset, length, mode & FALLOC_FL_KEEP_SIZE));
  }
  touch_locked(kTouchMtime | kTouchCtime);
  return {};
}

Result<MmapBacking> MemRegular::map(uint64_t offset, bool shared_write) {
  if (shared_write) TRY(before_change());
  TRY(need_contents(UINT64_MAX));
  Lock lock(mu_);
  if (shared_write && (seals_ & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))) return Err(EPERM);
  MmapBacking backing;
  backing.fd = TRY(data_.host_file());
  backing.offset = offset;
  backing.writable = !(seals_ & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE));
  return backing;
}

Result<void> MemRegular::add_seals(int seals) {
  constexpr int kAll = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE |
                       F_SEAL_FUTURE_WRITE | 0x20;  // F_SEAL_EXEC
  if (seals & ~kAll) return Err(EINVAL);
  Lock lock(mu_);
  if (seals_ & F_SEAL_SEAL) return Err(EPERM);
  if ((seals & F_SEAL_WRITE) && writable_mappings_ > 0) return Err(EBUSY);
  // Linux: an executable memfd that may not change its mode may not change its contents either.
  if ((seals & 0x20) && (attr_.mode & 0111)) {
    seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
  }
  seals_ |= seals;
  return {};
}

int MemRegular::seals() {
  Lock lock(mu_);
  return seals_;
}

void MemRegular::allow_sealing() {
  Lock lock(mu_);
  seals_ &= ~F_SEAL_SEAL;
}

void MemRegular::count_writable_mapping(int64_t delta) {
  Lock lock(mu_);
  writable_mappings_ += delta;
}

Result<size_t> MemFile::read(IoOut& dst, uint64_t& pos) {
  const size_t n = TRY(regular().read_at(dst, pos));
  pos += n;
  regular().touch_read(*this);
  if (n > 0) notify_dentry(*path().dentry, IN_ACCESS);
  return n;
}

Result<size_t> MemFile::write(IoIn& src, uint64_t& pos) {
  const size_t n = TRY(regular().write_at(src, pos, flags() & O_APPEND));
  if (n > 0) {
    regular().drop_privileges_on_write(creds());
    notify_dentry(*path().dentry, IN_MODIFY);
  }
  return n;
}

Result<uint64_t> MemFile::seek(int64_t offset, int whence) {
  if (whence != SEEK_DATA && whence != SEEK_HOLE) return File::seek(offset, whence);
  if (offset < 0) return Err(ENXIO);
  Lock lock(pos_mutex());
  return pos_locked() = TRY(regular().seek_data(uint64_t(offset), whence == SEEK_HOLE));
}

Result<MmapBacking> MemFile::mmap(uint64_t offset, uint64_t length, int prot, int flags) {
  const bool shared = (flags & MAP_TYPE) != MAP_PRIVATE;
  const bool may_write = shared && can(kWrite);
  MmapBacking backing = TRY(regular().map(offset, shared && (prot & PROT_WRITE)));
  backing.writable &= may_write;
  return backing;
}

Result<void> MemFile::fallocate(int mode, uint64_t offset, uint64_t length) {
  if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)) return Err(EOPNOTSUPP);
  return regular().allocate(mode, offset, length);
}

}  // namespace usk
