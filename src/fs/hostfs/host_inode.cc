#include "fs/hostfs/host_inode.h"

#include <sys/sysmacros.h>

#include "fs/hostfs/host_file.h"

namespace usk {
namespace {

timespec to_timespec(const statx_timestamp& t) { return {t.tv_sec, long(t.tv_nsec)}; }

// Longest path to give to the host at once.
constexpr size_t kMaxHostPath = 4000;

// After so many names that are not there a directory is listed, unless it is too large: then what
// is absent is known without asking. Search paths ask for many.
constexpr uint32_t kMissesToList = 4;
constexpr uint64_t kMaxSizeToList = 256 << 10;

}  // namespace

HostInode::HostInode(Ref<HostFs> fs, Ino ino, const struct statx& st, Ref<HostInode> parent,
                     std::string name)
    : Inode(std::move(fs), ino, st.stx_mode),
      host_dev_(uint64_t(st.stx_dev_major) << 32 | st.stx_dev_minor),
      host_ino_(st.stx_ino),
      born_(st.stx_btime),
      parent_(std::move(parent)),
      name_(std::move(name)) {
  attr_ = to_attr(st);
}

HostInode::~HostInode() {
  // A chain of parents may be long: no recursion.
  Ref<HostInode> p = std::move(parent_);
  while (p && p->ref_count() == 1) p = Ref<HostInode>(std::move(p->parent_));
}

void HostInode::last_unref() {
  host_fs().forget(*this);
  delete this;
}

HostFs& HostInode::host_fs() const { return static_cast<HostFs&>(fs()); }

bool HostInode::is(const struct statx& st) const {
  return st.stx_ino == host_ino_ &&
         (uint64_t(st.stx_dev_major) << 32 | st.stx_dev_minor) == host_dev_ &&
         (st.stx_mode & S_IFMT) == type() && st.stx_btime.tv_sec == born_.tv_sec &&
         st.stx_btime.tv_nsec == born_.tv_nsec;
}

void HostInode::stands_at(Ref<HostInode> parent, std::string_view name) {
  std::string fresh(name);
  Lock lock(host_fs().place_mutex());
  if (!parent_) return;  // The root stays the root, wherever else it shows up.
  std::swap(parent_, parent);
  name_.swap(fresh);
}

Attr HostInode::to_attr(const struct statx& st) const {
  Attr a;
  a.dev = fs().dev();
  a.ino = ino();
  a.mode = st.stx_mode;
  a.nlink = st.stx_nlink;
  a.uid = st.stx_uid;
  a.gid = st.stx_gid;
  if (host_fs().host_options().map_own_to_root) {
    const bool own = st.stx_uid == host::effective_uid();
    a.uid = own ? 0 : UserNamespace::kOverflowId;
    a.gid = own ? 0 : UserNamespace::kOverflowId;
  }
  a.rdev = makedev(st.stx_rdev_major, st.stx_rdev_minor);
  a.size = st.stx_size;
  a.blocks = st.stx_blocks;
  a.blksize = st.stx_blksize;
  a.atime = to_timespec(st.stx_atime);
  a.mtime = to_timespec(st.stx_mtime);
  a.ctime = to_timespec(st.stx_ctime);
  a.btime = to_timespec(st.stx_btime);
  return a;
}

void HostInode::update(const struct statx& st) {
  const Attr a = to_attr(st);
  Lock lock(mu_);
  attr_ = a;
}

Result<Attr> HostInode::getattr() {
  Ref<HostFd> fd;
  {
    Lock lock(mu_);
    if (host_fs().stable()) return attr_;
    fd = nameless_ ? nameless_ : open_fd_;
  }
  if (fd) {
    update(TRY(host::stat_at(*fd, "")));
  } else {
    const Place p = TRY(place());
    const struct statx st = TRY(host::stat_at(*p.dir, p.name));
    if (!is(st)) return Err(ESTALE);
    update(st);
  }
  Lock lock(mu_);
  return attr_;
}

// This directory as an O_PATH descriptor: kept, or opened from the nearest kept ancestor.
Result<Ref<HostFd>> HostInode::dir_fd() {
  HostFs& hfs = host_fs();
  std::vector<std::string> names;  // From the bottom up.
  Ref<HostFd> base;
  Ref<HostInode> at = Ref<HostInode>::share(this);
  while (!(base = hfs.kept_fd(*at))) {
    Ref<HostInode> up;
    {
      Lock lock(hfs.place_mutex());
      up = at->parent_;
      if (up) names.push_back(at->name_);
    }
    if (!up) {
      base = Ref<HostFd>::share(const_cast<HostFd*>(&hfs.root()));
      break;
    }
    at = std::move(up);
  }
  if (names.empty()) return base;
  while (!names.empty()) {
    std::string path;
    while (!names.empty() && path.size() + names.back().size() < kMaxHostPath) {
      if (!path.empty()) path += '/';
      path += names.back();
      names.pop_back();
    }
    base = TRY(host::open_beneath(*base, path, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  }
  if (!is(TRY(host::stat_at(*base, "")))) return Err(ESTALE);
  hfs.keep_fd(*this, base);
  return base;
}

Ref<HostFd> HostInode::nameless() {
  if (host_fs().stable()) return {};
  Lock lock(mu_);
  return nameless_;
}

Result<HostInode::Place> HostInode::place() {
  Ref<HostInode> up;
  std::string name;
  {
    Lock lock(host_fs().place_mutex());
    up = parent_;
    name = name_;
  }
  if (!up) return Place{Ref<HostFd>::share(const_cast<HostFd*>(&host_fs().root())), ""};
  return Place{TRY(up->dir_fd()), std::move(name)};
}

Result<Ref<HostFd>> HostInode::open_host(int flags) {
  // Open for reading and writing, and nobody uses its position.
  if (Ref<HostFd> fd = nameless()) return fd;
  const bool shareable = (flags & (O_ACCMODE | O_PATH)) == O_RDONLY && is_regular();
  if (shareable) {
    if (Ref<HostFd> kept = host_fs().kept_fd(*this)) return kept;
  }
  const Place p = TRY(place());
  // O_NONBLOCK: should a FIFO stand there by now, opening it does not wait.
  flags |= O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  Ref<HostFd> fd = TRY(host::open_beneath(*p.dir, p.name.empty() ? "." : p.name, flags));
  if (!is(TRY(host::stat_at(*fd, "")))) return Err(ESTALE);
  if (shareable && host_fs().stable()) host_fs().keep_fd(*this, fd);
  return fd;
}

Result<Ref<Inode>> HostInode::lookup(std::string_view name) {
  HostFs& hfs = host_fs();
  if (hfs.stable()) {
    Ref<HostListing> listing;
    if (misses_ == kMissesToList && TRY(getattr()).size <= kMaxSizeToList) {
      misses_++;  // Tried once; where it may not be read, the names are asked for one by one.
      if (auto r = list()) listing = *std::move(r);
    } else if (misses_ > 0) {
      listing = hfs.kept_listing(*this);
    }
    if (listing && !listing->has(name)) return Err(ENOENT);
  }
  Ref<HostFd> dir = TRY(dir_fd());
  const std::string text(name);
  const auto st = host::stat_at(*dir, text);
  if (failed_with(st, ENOENT) && misses_ < kMissesToList) misses_++;
  return hfs.inode_for(TRY(st), Ref<HostInode>::share(this), name);
}

Result<std::string> HostInode::readlink() {
  if (!is_symlink()) return Err(EINVAL);
  const Place p = TRY(place());
  return host::readlink_at(*p.dir, p.name);
}

Result<Ref<HostListing>> HostInode::list() {
  HostFs& hfs = host_fs();
  if (hfs.stable()) {
    if (Ref<HostListing> kept = hfs.kept_listing(*this)) return kept;
  }
  Ref<HostFd> fd = TRY(open_host(O_RDONLY | O_DIRECTORY));
  const auto dev_major = uint32_t(host_dev_ >> 32), dev_minor = uint32_t(host_dev_);
  auto names = TRY(host::read_dir(*fd));
  std::vector<DirEntry> entries;
  entries.reserve(names.size());
  for (auto& e : names) {
    entries.push_back({std::move(e.name), hfs.number(dev_major, dev_minor, e.ino), e.type});
  }
  auto out = make_ref<HostListing>(std::move(entries));
  if (!hfs.stable()) return out;
  hfs.keep_listing(*this, out);
  hfs.keep_fd(*this, std::move(fd));  // What was listed is looked at next.
  return out;
}

void HostInode::opened(const Ref<HostFd>& fd) {
  if (host_fs().stable()) return;
  Lock lock(mu_);
  opens_++;
  open_fd_ = fd;
}

void HostInode::closed() {
  if (host_fs().stable()) return;
  Ref<HostFd> dropped;
  Lock lock(mu_);
  if (--opens_ == 0) dropped = std::move(open_fd_);
}

Result<Ref<File>> HostInode::open(Path path, int flags, Ref<const Creds> creds) {
  switch (type()) {
    case S_IFDIR: return make_ref<HostDirFile>(std::move(path), flags, std::move(creds));
    case S_IFREG: break;
    default: return Err(ENXIO);  // The host's FIFOs, sockets and devices are only to be seen.
  }
  const int access = flags & O_ACCMODE;
  Ref<HostFd> fd = TRY(open_host(access == O_ACCMODE ? O_RDONLY : access));
  opened(fd);
  return make_ref<HostFile>(std::move(path), flags, std::move(creds), std::move(fd));
}

namespace {

bool is_user(std::string_view name) { return name.starts_with("user."); }

}  // namespace

Result<std::string> HostInode::getxattr(std::string_view name) {
  if (!is_user(name) || !(is_regular() || is_dir())) return Err(ENODATA);
  return host::getxattr(*TRY(open_host(O_RDONLY)), std::string(name));
}

Result<void> HostInode::setxattr(std::string_view name, std::string_view value, int flags) {
  if (!is_user(name)) return Err(EOPNOTSUPP);
  return host::setxattr(*TRY(open_host(O_RDONLY)), std::string(name), value, flags);
}

Result<std::vector<std::string>> HostInode::listxattr() {
  if (!is_regular() && !is_dir()) return std::vector<std::string>{};
  auto names = host::listxattr(*TRY(open_host(O_RDONLY)));
  if (failed_with(names, EOPNOTSUPP)) return std::vector<std::string>{};
  if (names) std::erase_if(*names, [](const std::string& n) { return !is_user(n); });
  return names;
}

Result<void> HostInode::removexattr(std::string_view name) {
  if (!is_user(name)) return Err(EOPNOTSUPP);
  return host::removexattr(*TRY(open_host(O_RDONLY)), std::string(name));
}

}  // namespace usk
