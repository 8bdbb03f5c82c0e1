// Changes that the guest makes to a writable directory of the host.
#include "fs/hostfs/host_inode.h"

namespace usk {

Result<void> HostInode::change_owner(const AttrChange& change, const Place& at, const HostFd* fd) {
  // With translated ids there is only one owner to give files to.
  if (host_fs().host_options().map_own_to_root) {
    const Attr a = TRY(getattr());
    const bool same = (!(change.set & AttrChange::kUid) || change.uid == a.uid) &&
                      (!(change.set & AttrChange::kGid) || change.gid == a.gid);
    if (!same) return Err(EPERM);
    return {};
  }
  const uint32_t uid = change.set & AttrChange::kUid ? change.uid : -1u;
  const uint32_t gid = change.set & AttrChange::kGid ? change.gid : -1u;
  if (fd) return host::chown_fd(*fd, uid, gid);
  return host::chown_at(*at.dir, at.name, uid, gid);
}

Result<void> HostInode::setattr(const AttrChange& change) {
  const Ref<HostFd> fd = nameless();
  Place p;
  if (!fd) {
    p = TRY(place());
    if (p.name.empty()) p.name = ".";
  }
  if (change.set & AttrChange::kSize) {
    TRY(host::ftruncate(*TRY(open_host(O_WRONLY)), change.size));
  }
  if (change.set & (AttrChange::kUid | AttrChange::kGid)) {
    TRY(change_owner(change, p, fd.get()));
  }
  if (change.set & AttrChange::kMode) {
    const uint32_t mode = change.mode & 07777;
    TRY(fd ? host::chmod_fd(*fd, mode) : host::chmod_at(*p.dir, p.name, mode));
  }
  constexpr uint32_t kTimes =
      AttrChange::kAtime | AttrChange::kMtime | AttrChange::kAtimeNow | AttrChange::kMtimeNow;
  if (change.set & kTimes) {
    timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
    if (change.set & AttrChange::kAtime) times[0] = change.atime;
    if (change.set & AttrChange::kMtime) times[1] = change.mtime;
    if (change.set & AttrChange::kAtimeNow) times[0] = {0, UTIME_NOW};
    if (change.set & AttrChange::kMtimeNow) times[1] = {0, UTIME_NOW};
    TRY(fd ? host::utimens_fd(*fd, times) : host::utimens_at(*p.dir, p.name, times));
  }
  return {};
}

// open(2) with O_TMPFILE: held by its descriptor until link() gives it a name.
Result<Ref<Inode>> HostInode::tmpfile(uint32_t mode, const Creds& owner) {
  Ref<HostFd> dir = TRY(dir_fd());
  Ref<HostFd> fd = TRY(host::open_beneath(*dir, ".", O_TMPFILE | O_RDWR, 0600));
  if (!host_fs().host_options().map_own_to_root) {
    const bool keep_group = TRY(getattr()).mode & S_ISGID;
    TRY(host::chown_fd(*fd, owner.fsuid, keep_group ? -1u : owner.fsgid));
  }
  TRY(host::chmod_fd(*fd, mode & 07777));
  Ref<HostInode> inode =
      host_fs().inode_for(TRY(host::stat_at(*fd, "")), Ref<HostInode>::share(this), "");
  Lock lock(inode->mu_);
  inode->nameless_ = std::move(fd);
  return Ref<Inode>(inode);
}

// What was just made at `name`: its owner and mode as the guest asked, whatever the host's umask.
Result<Ref<Inode>> HostInode::adopt_new(const HostFd& dir, const std::string& name, uint32_t mode,
                                        const Creds& owner) {
  if (!host_fs().host_options().map_own_to_root) {
    // In a set-group-ID directory the host has chosen the group.
    const bool keep_group = TRY(getattr()).mode & S_ISGID;
    TRY(host::chown_at(dir, name, owner.fsuid, keep_group ? -1u : owner.fsgid));
  }
  if (!S_ISLNK(mode)) {
    const uint32_t kept = S_ISDIR(mode) ? TRY(host::stat_at(dir, name)).stx_mode & S_ISGID : 0;
    TRY(host::chmod_at(dir, name, (mode & 07777) | kept));
  }
  return lookup(name);
}

Result<Ref<Inode>> HostInode::mknod(std::string_view name, uint32_t mode, Dev rdev,
                                    const Creds& owner) {
  Ref<HostFd> dir = TRY(dir_fd());
  const std::string text(name);
  switch (mode & S_IFMT) {
    case S_IFREG: TRY(host::open_beneath(*dir, text, O_CREAT | O_EXCL | O_WRONLY, 0600)); break;
    case S_IFDIR: TRY(host::mkdir_at(*dir, text, 0700)); break;
    case S_IFIFO:
    case S_IFSOCK: TRY(host::mknod_at(*dir, text, (mode & S_IFMT) | 0600, 0)); break;
    default: return Err(EPERM);  // Devices are not made on the host.
  }
  return adopt_new(*dir, text, mode, owner);
}

Result<Ref<Inode>> HostInode::symlink(std::string_view name, std::string_view target,
                                      const Creds& owner) {
  Ref<HostFd> dir = TRY(dir_fd());
  const std::string text(name);
  TRY(host::symlink_at(std::string(target), *dir, text));
  return adopt_new(*dir, text, S_IFLNK | 0777, owner);
}

Result<void> HostInode::link(std::string_view name, Inode& target) {
  auto& node = static_cast<HostInode&>(target);
  Ref<HostFd> dir = TRY(dir_fd());
  if (Ref<HostFd> fd = node.nameless()) {
    TRY(host::link_fd(*fd, *dir, std::string(name)));
    node.stands_at(Ref<HostInode>::share(this), name);
    Lock lock(node.mu_);
    node.nameless_.reset();  // `fd` still holds it.
    return {};
  }
  const Place p = TRY(node.place());
  return host::link_at(*p.dir, p.name, *dir, std::string(name));
}

Result<void> HostInode::unlink(std::string_view name, Inode& victim) {
  return host::unlink_at(*TRY(dir_fd()), std::string(name), 0);
}

Result<void> HostInode::rmdir(std::string_view name, Inode& victim) {
  TRY(host::unlink_at(*TRY(dir_fd()), std::string(name), AT_REMOVEDIR));
  host_fs().drop_kept(static_cast<HostInode&>(victim));
  return {};
}

Result<void> HostInode::rename(std::string_view name, Inode& source, Inode& new_dir,
                               std::string_view new_name, Inode* target, uint32_t flags) {
  auto& to = static_cast<HostInode&>(new_dir);
  Ref<HostFd> from_fd = TRY(dir_fd());
  Ref<HostFd> to_fd = TRY(to.dir_fd());
  TRY(host::rename_at(*from_fd, std::string(name), *to_fd, std::string(new_name), flags));
  static_cast<HostInode&>(source).stands_at(Ref<HostInode>::share(&to), new_name);
  if (target && (flags & RENAME_EXCHANGE)) {
    static_cast<HostInode*>(target)->stands_at(Ref<HostInode>::share(this), name);
  }
  return {};
}

}  // namespace usk
