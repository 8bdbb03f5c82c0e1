// A directory of the host, shown to the guest.
#pragma once
#include <list>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "base/lock.h"
#include "base/number_table.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/mount.h"
#include "host/file.h"

namespace usk {

class HostInode;

// A service of Loader: what is different on the host on which a saved state is restored.
struct HostChanges {
  std::map<std::string, std::string> moved;  // Directories that were shown -> where they are now.
  bool allow_changed = false;                // Files may have other contents than they had.
};

struct HostFsOptions {
  // Guest changes go to the host, which may change things too: names and attributes are asked
  // anew each time. Otherwise the tree is read-only and counts as unchanging.
  bool writable = false;
  // Files of the host user that runs Usk are shown as root's, all others as nobody's (for a
  // user without privileges); else owners are shown as they are.
  bool map_own_to_root = host::effective_uid() != 0;
  USK_FIELDS(writable, map_own_to_root)
};

// A service of Writer: files of the host are to be known again by what is in them, not by their
// times.
struct HostHashes {};

// The names of a directory that does not change.
class HostListing final : public RefCounted {
 public:
  explicit HostListing(std::vector<DirEntry> entries) : entries_(std::move(entries)) {}
  const std::vector<DirEntry>& entries() const { return entries_; }
  bool has(std::string_view name) EXCLUDES(mu_);

 private:
  const std::vector<DirEntry> entries_;
  Mutex<Rank::kLeaf> mu_;
  // Those of the entries; made when somebody asks, since most directories are only listed.
  std::unordered_set<std::string_view> names_ GUARDED_BY(mu_);
};

// The host's files beneath one held directory; nothing outside it is ever opened.
class HostFs final : public FileSystem {
 public:
  HostFs(Ref<HostFd> root, HostFsOptions options);
  explicit HostFs(Blank b) : FileSystem(b) {}

  const HostFd& root() const { return *root_; }
  const HostFsOptions& host_options() const { return options_; }
  bool stable() const { return !options_.writable; }
  Result<FsStat> statfs() override;
  bool read_only() const override { return !options_.writable; }

  // The inode of what stat said stands at `name` of `parent` (null for the root).
  Ref<HostInode> inode_for(const struct statx& st, Ref<HostInode> parent, std::string_view name)
      EXCLUDES(mu_);
  void forget(HostInode& inode) EXCLUDES(mu_);
  Ino number(uint32_t dev_major, uint32_t dev_minor, uint64_t ino) EXCLUDES(mu_);

  // Host descriptors kept for another time: at most max_kept_, oldest go first.
  Ref<HostFd> kept_fd(HostInode& inode) EXCLUDES(fd_mu_);
  void keep_fd(HostInode& inode, Ref<HostFd> fd) EXCLUDES(fd_mu_);
  // Listings of directories of an unchanging tree, likewise: at most kMaxListed names.
  Ref<HostListing> kept_listing(HostInode& inode) EXCLUDES(fd_mu_);
  void keep_listing(HostInode& inode, Ref<HostListing> listing) EXCLUDES(fd_mu_);
  void drop_kept(HostInode& inode) EXCLUDES(fd_mu_);

  // Guards where inodes stand in the host's tree (HostInode::parent_, name_).
  Mutex<Rank::kLeaf>& place_mutex() RETURNS_LOCK(place_mu_) { return place_mu_; }

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<FileSystem>("FileSystem", *this);
    if constexpr (SavesState<A>) {
      if (auto done = find_path(); !done) ar.fail(done.error().message);
    }
    ar.all("path_, options_, devs_", path_, options_, devs_);
  }
  static constexpr int kRestoreStage = -2;
  OrFailure<void> restored(state::Restored& r);
  // Of its directory on the host, when it was saved or loaded.
  const std::string& host_path() const { return path_; }

 private:
  friend class HostInode;
  static size_t most_kept();
  static constexpr size_t kMaxListed = 1 << 17;
  // Of a file in inodes_. Should two files have the same, only one of them is found again.
  static uint64_t key(uint64_t dev, uint64_t ino) { return ino ^ dev * 0x9e3779b97f4a7c15; }
  struct Kept {
    HostInode* inode;
    Ref<HostFd> fd;
  };
  struct KeptListing {
    HostInode* inode;
    Ref<HostListing> listing;
  };

  OrFailure<void> find_path();
  Ref<HostInode> known(uint64_t key, const struct statx& st) REQUIRES(mu_);

  Ref<HostFd> root_;
  HostFsOptions options_;
  size_t max_kept_ = most_kept();
  std::string path_;
  Mutex<Rank::kLeaf> mu_;
  NumberTable<HostInode> inodes_ GUARDED_BY(mu_);
  std::vector<uint64_t> devs_ GUARDED_BY(mu_);  // Host file systems met; the first is the root's.
  Mutex<Rank::kLeaf> fd_mu_;
  std::list<Kept> kept_ GUARDED_BY(fd_mu_);  // Latest used first.
  std::unordered_map<HostInode*, std::list<Kept>::iterator> kept_at_ GUARDED_BY(fd_mu_);
  std::list<KeptListing> listings_ GUARDED_BY(fd_mu_);  // Likewise.
  std::unordered_map<HostInode*, std::list<KeptListing>::iterator> listing_at_ GUARDED_BY(fd_mu_);
  size_t listed_ GUARDED_BY(fd_mu_) = 0;  // Names in them.
  Mutex<Rank::kLeaf> place_mu_;
};

// Shows the directory `root` (opened with O_PATH).
Result<FsTree> make_hostfs(Ref<HostFd> root, const HostFsOptions& options);

}  // namespace usk
