#include "fs/hostfs/hostfs.h"

#include <algorithm>

#include "fs/hostfs/host_inode.h"

namespace usk {

namespace {

uint64_t dev_key(uint32_t major, uint32_t minor) { return uint64_t(major) << 32 | minor; }

}  // namespace

bool HostListing::has(std::string_view name) {
  Lock lock(mu_);
  if (names_.empty()) {
    names_.reserve(entries_.size());
    for (const DirEntry& e : entries_) names_.insert(e.name);
  }
  return names_.contains(name);
}

HostFs::HostFs(Ref<HostFd> root, HostFsOptions options)
    : FileSystem("hostfs"), root_(std::move(root)), options_(options) {}

size_t HostFs::most_kept() { return std::clamp<size_t>(host::max_open_files() / 8, 64, 4096); }

Result<FsStat> HostFs::statfs() {
  const struct statfs h = TRY(host::statfs_of(*root_));
  FsStat s;
  s.type = uint64_t(h.f_type), s.bsize = uint64_t(h.f_bsize);
  s.blocks = h.f_blocks, s.bfree = h.f_bfree, s.bavail = h.f_bavail;
  s.files = h.f_files, s.ffree = h.f_ffree;
  s.namelen = uint64_t(h.f_namelen), s.frsize = uint64_t(h.f_frsize);
  s.fsid = dev();
  return s;
}

// The host's number; files of a second host file system get other high bits, for a tree has one
// st_dev here.
Ino HostFs::number(uint32_t dev_major, uint32_t dev_minor, uint64_t ino) {
  const uint64_t key = dev_key(dev_major, dev_minor);
  Lock lock(mu_);
  auto it = std::find(devs_.begin(), devs_.end(), key);
  const auto index = uint64_t(it - devs_.begin());
  if (it == devs_.end()) devs_.push_back(key);
  return ino ^ index << 48;
}

Ref<HostInode> HostFs::known(uint64_t key, const struct statx& st) {
  HostInode* inode = inodes_.find(key);
  if (!inode || !inode->is(st) || !inode->try_ref()) return {};
  return Ref<HostInode>::adopt(inode);
}

Ref<HostInode> HostFs::inode_for(const struct statx& st, Ref<HostInode> parent,
                                 std::string_view name) {
  const uint64_t id = key(dev_key(st.stx_dev_major, st.stx_dev_minor), st.stx_ino);
  Ref<HostInode> found;
  {
    Lock lock(mu_);
    found = known(id, st);
  }
  if (!found) {
    const Ino ino = number(st.stx_dev_major, st.stx_dev_minor, st.stx_ino);
    auto fresh = make_ref<HostInode>(Ref<HostFs>::share(this), ino, st, std::move(parent),
                                     std::string(name));
    Lock lock(mu_);
    // Maybe somebody else made it meanwhile.
    if (Ref<HostInode> other = known(id, st)) return other;
    inodes_.set(id, fresh.get());
    return fresh;
  }
  if (!stable()) {
    found->update(st);
    found->stands_at(std::move(parent), name);
  }
  return found;
}

void HostFs::forget(HostInode& inode) {
  drop_kept(inode);
  const uint64_t id = key(inode.host_dev_, inode.host_ino_);
  Lock lock(mu_);
  if (inodes_.find(id) == &inode) inodes_.erase(id);
}

Ref<HostFd> HostFs::kept_fd(HostInode& inode) {
  Lock lock(fd_mu_);
  // Mostly the one that was used last.
  if (!kept_.empty() && kept_.front().inode == &inode) return kept_.front().fd;
  auto it = kept_at_.find(&inode);
  if (it == kept_at_.end()) return {};
  kept_.splice(kept_.begin(), kept_, it->second);
  return it->second->fd;
}

void HostFs::keep_fd(HostInode& inode, Ref<HostFd> fd) {
  Ref<HostFd> dropped;  // Closed after the lock.
  Lock lock(fd_mu_);
  if (kept_at_.contains(&inode)) return;
  inode.keeps_ = true;
  kept_.push_front({&inode, std::move(fd)});
  kept_at_[&inode] = kept_.begin();
  if (kept_.size() <= max_kept_) return;
  dropped = std::move(kept_.back().fd);
  kept_at_.erase(kept_.back().inode);
  kept_.pop_back();
}

Ref<HostListing> HostFs::kept_listing(HostInode& inode) {
  Lock lock(fd_mu_);
  if (!listings_.empty() && listings_.front().inode == &inode) return listings_.front().listing;
  auto it = listing_at_.find(&inode);
  if (it == listing_at_.end()) return {};
  listings_.splice(listings_.begin(), listings_, it->second);
  return it->second->listing;
}

void HostFs::keep_listing(HostInode& inode, Ref<HostListing> listing) {
  const size_t count = listing->entries().size();
  if (count > kMaxListed / 8) return;
  std::vector<Ref<HostListing>> dropped;  // Freed after the lock.
  Lock lock(fd_mu_);
  if (listing_at_.contains(&inode)) return;
  inode.keeps_ = true;
  listings_.push_front({&inode, std::move(listing)});
  listing_at_[&inode] = listings_.begin();
  listed_ += count + 1;
  while (listed_ > kMaxListed) {
    KeptListing& last = listings_.back();
    listed_ -= last.listing->entries().size() + 1;
    dropped.push_back(std::move(last.listing));
    listing_at_.erase(last.inode);
    listings_.pop_back();
  }
}

void HostFs::drop_kept(HostInode& inode) {
  if (!inode.keeps_) return;
  Ref<HostFd> fd;
  Ref<HostListing> listing;
  Lock lock(fd_mu_);
  if (auto it = kept_at_.find(&inode); it != kept_at_.end()) {
    fd = std::move(it->second->fd);
    kept_.erase(it->second);
    kept_at_.erase(it);
  }
  if (auto it = listing_at_.find(&inode); it != listing_at_.end()) {
    listing = std::move(it->second->listing);
    listed_ -= listing->entries().size() + 1;
    listings_.erase(it->second);
    listing_at_.erase(it);
  }
}

Result<FsTree> make_hostfs(Ref<HostFd> root, const HostFsOptions& options) {
  const struct statx st = TRY(host::stat_at(*root, ""));
  if (!S_ISDIR(st.stx_mode)) return Err(ENOTDIR);
  auto fs = make_ref<HostFs>(std::move(root), options);
  Ref<HostInode> inode = fs->inode_for(st, {}, "");
  return FsTree{fs, Dentry::make_root(std::move(inode))};
}

}  // namespace usk
