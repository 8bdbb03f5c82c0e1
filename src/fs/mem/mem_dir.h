// Directories that live in memory.
#pragma once
#include <map>
#include <unordered_map>

#include "fs/mem/mem_inode.h"
#include "fs/vfs/file.h"

namespace usk {

// Names in order of their making. An entry's number is its position for readdir: it stays where
// it is while others come and go.
class MemDir : public MemInode {
 public:
  MemDir(Ref<MemFs> fs, Ino ino, const NodeInit& init, bool charged);
  explicit MemDir(Blank b) : MemInode(b) {}
  ~MemDir() override;

  Result<Ref<Inode>> lookup(std::string_view name) override EXCLUDES(mu_);
  Result<Ref<Inode>> mknod(std::string_view name, uint32_t mode, Dev rdev,
                           const Creds& owner) override EXCLUDES(mu_);
  Result<Ref<Inode>> symlink(std::string_view name, std::string_view target,
                             const Creds& owner) override EXCLUDES(mu_);
  Result<void> link(std::string_view name, Inode& target) override EXCLUDES(mu_);
  Result<void> unlink(std::string_view name, Inode& victim) override EXCLUDES(mu_);
  Result<void> rmdir(std::string_view name, Inode& victim) override EXCLUDES(mu_);
  Result<void> rename(std::string_view name, Inode& source, Inode& new_dir,
                      std::string_view new_name, Inode* target, uint32_t flags) override
      EXCLUDES(mu_);
  Result<Ref<Inode>> tmpfile(uint32_t mode, const Creds& owner) override EXCLUDES(mu_);
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  // An inode made elsewhere becomes `name`, with its link counts. For setting a tree up.
  Result<void> put(std::string_view name, Ref<MemInode> inode) EXCLUDES(mu_);

  struct Entry {
    std::string name;
    Ref<MemInode> inode;
    USK_FIELDS(name, inode)
  };
  // Up to `max` entries from position `pos` on, with their positions.
  std::vector<std::pair<uint64_t, Entry>> entries(uint64_t pos, size_t max) EXCLUDES(mu_);

  USK_FIELDS_OF(MemInode, entries_, next_pos_, dead_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 protected:
  // Atomically: if it has no entries, it takes no more (it is being removed); else ENOTEMPTY.
  virtual Result<void> kill_if_empty() EXCLUDES(mu_);
  Ref<MemInode> find_locked(std::string_view name) const REQUIRES(mu_);
  void insert_locked(std::string_view name, Ref<MemInode> inode) REQUIRES(mu_);
  Ref<MemInode> erase_locked(std::string_view name) REQUIRES(mu_);
  bool dead_locked() const REQUIRES(mu_) { return dead_; }
  bool has_entries_locked() const REQUIRES(mu_) { return !entries_.empty(); }
  // A subdirectory came or went.
  void count_subdir_locked(int delta) REQUIRES(mu_);
  Result<Ref<Inode>> add_new(std::string_view name, NodeInit init) EXCLUDES(mu_);
  NodeInit child_init(uint32_t mode, Dev rdev, const Creds& owner) EXCLUDES(mu_);

 private:
  Result<void> exchange(std::string_view name, MemInode& source, MemDir& other,
                        std::string_view other_name, MemInode& target);
  static void let_go(std::vector<Ref<MemInode>> children);

  std::map<uint64_t, Entry> entries_ GUARDED_BY(mu_);
  std::unordered_map<std::string_view, uint64_t> by_name_ GUARDED_BY(mu_);  // Of entries_.
  uint64_t next_pos_ GUARDED_BY(mu_) = 2;  // 0 and 1 are "." and "..".
  bool dead_ GUARDED_BY(mu_) = false;
};

class MemDirFile final : public File {
 public:
  MemDirFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek, std::move(creds)) {}
  explicit MemDirFile(Blank b) : File(b) {}
  OrFailure<void> restored(state::Restored& r);
  Result<size_t> read(IoOut&, uint64_t&) override { return Err(EISDIR); }
  Result<void> read_dir(DirSink& sink, uint64_t& pos) override;
  Result<void> fsync(bool) override { return {}; }
  USK_FIELDS_OF(File)
};

}  // namespace usk
