// An inode of the host.
#pragma once
#include "fs/hostfs/hostfs.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/inode.h"

namespace usk {

// Knows a name by which its file can be found beneath the root, and which file it is: what is
// opened by the name is used only if it is that file (ESTALE otherwise).
class HostInode final : public Inode {
 public:
  HostInode(Ref<HostFs> fs, Ino ino, const struct statx& st, Ref<HostInode> parent,
            std::string name);
  explicit HostInode(Blank b) : Inode(b), host_dev_(0), host_ino_(0), born_(), found_(false) {}
  ~HostInode() override;

  Result<Attr> getattr() override EXCLUDES(mu_);
  Result<void> setattr(const AttrChange& change) override EXCLUDES(mu_);
  Result<Ref<Inode>> lookup(std::string_view name) override;
  bool names_are_stable() const override { return host_fs().stable(); }
  Result<std::string> readlink() override;
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  Result<Ref<Inode>> mknod(std::string_view name, uint32_t mode, Dev rdev,
                           const Creds& owner) override;
  Result<Ref<Inode>> symlink(std::string_view name, std::string_view target,
                             const Creds& owner) override;
  Result<void> link(std::string_view name, Inode& target) override;
  Result<void> unlink(std::string_view name, Inode& victim) override;
  Result<void> rmdir(std::string_view name, Inode& victim) override;
  Result<void> rename(std::string_view name, Inode& source, Inode& new_dir,
                      std::string_view new_name, Inode* target, uint32_t flags) override;

  Result<Ref<Inode>> tmpfile(uint32_t mode, const Creds& owner) override;

  // user.* only: the host's other attributes are not the guest's business.
  Result<std::string> getxattr(std::string_view name) override;
  Result<void> setxattr(std::string_view name, std::string_view value, int flags) override;
  Result<std::vector<std::string>> listxattr() override;
  Result<void> removexattr(std::string_view name) override;

  HostFs& host_fs() const;
  Result<Ref<HostListing>> list();
  // A host descriptor of it, opened with `flags`; read-only ones may be shared.
  Result<Ref<HostFd>> open_host(int flags);
  // A file of a changing tree was opened on `fd`, or the last such was closed.
  void opened(const Ref<HostFd>& fd) EXCLUDES(mu_);
  void closed() EXCLUDES(mu_);
  // Takes over what the host says about it now.
  void update(const struct statx& st) EXCLUDES(mu_);
  bool is(const struct statx& st) const;
  void stands_at(Ref<HostInode> parent, std::string_view name);

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<Inode>("Inode", *this);
    std::optional<uint64_t> contents;  // Of a file whose name is gone.
    if constexpr (SavesState<A>) {
      if (auto done = save(contents, ar.services()); !done) ar.fail(done.error().message);
    }
    ar.all("attr_, parent_, name_, contents, hash_", attr_, parent_, name_, contents, hash_);
    if constexpr (A::kLoading) {
      if (contents && !ar.failed()) {
        if (auto done = load(*contents, ar.services()); !done) ar.fail(done.error().message);
      }
    }
  }
  static constexpr int kRestoreStage = -1;
  OrFailure<void> restored(state::Restored& r);

 protected:
  void last_unref() override;

 private:
  friend class HostFs;
  struct Place {
    Ref<HostFd> dir;
    std::string name;  // Empty: `dir` is the file itself (the root).
  };
  OrFailure<void> save(std::optional<uint64_t>& contents, state::Services& services);
  OrFailure<void> load(uint64_t contents, state::Services& services);
  OrFailure<void> find_again(bool allow_changed);
  // Of what is in it; nothing where it cannot be read.
  std::string hash();
  std::string shown_path();
  Result<Ref<HostFd>> dir_fd();
  Result<Place> place();
  // Of a file that has no name yet (O_TMPFILE), else null.
  Ref<HostFd> nameless() EXCLUDES(mu_);
  Result<void> change_owner(const AttrChange& change, const Place& at, const HostFd* fd);
  Attr to_attr(const struct statx& st) const;
  Result<Ref<Inode>> adopt_new(const HostFd& dir, const std::string& name, uint32_t mode,
                               const Creds& owner);

  // Which file it is; never changes but when it is found again on another host.
  uint64_t host_dev_, host_ino_;
  statx_timestamp born_;
  bool found_ = true;               // False: loaded, and not found yet.
  std::atomic<bool> keeps_{false};  // The file system keeps something of it, or did.
  Ref<HostInode> parent_;           // Guarded by the file system's place_mutex(), as is name_.
  std::string name_;
  std::string hash_;                 // When it was saved, if it was asked for.
  std::atomic<uint32_t> misses_{0};  // Names that were looked up in vain.
  Mutex<Rank::kFile> mu_;
  Attr attr_ GUARDED_BY(mu_);
  Ref<HostFd> open_fd_ GUARDED_BY(mu_);  // Of a changing tree: while files are open.
  int opens_ GUARDED_BY(mu_) = 0;
  Ref<HostFd> nameless_ GUARDED_BY(mu_);
};

}  // namespace usk
