// The kinds of inodes that procfs has.
#pragma once
#include "fs/proc/entry.h"
#include "fs/vfs/dir_file.h"

namespace usk::proc {

// Common to all: attributes follow from the entry and the task. An empty file without contents.
class ProcInode : public Inode {
 public:
  ProcInode(const Subject& s, Ino ino, uint32_t mode)
      : Inode(Ref<FileSystem>::share(&s.fs()), ino, mode), subject_(s), mode_(mode & 07777) {}
  explicit ProcInode(Blank b) : Inode(b), subject_(b), mode_(0) {}
  Result<Attr> getattr() override;
  Result<void> setattr(const AttrChange& change) override;
  USK_FIELDS_OF(Inode, subject_, mode_)
  OrFailure<void> restored(state::Restored& r);

 protected:
  const Subject& subject() const { return subject_; }

 private:
  Subject subject_;
  uint32_t mode_;
};

// A directory. Names are looked up anew each time, as tasks come and go.
class ProcDir : public ProcInode {
 public:
  using ProcInode::ProcInode;
  Result<Attr> getattr() override;
  bool names_are_stable() const override { return false; }
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;
  Result<Ref<Inode>> mknod(std::string_view, uint32_t, Dev, const Creds&) override {
    return Err(ENOENT);
  }
  Result<Ref<Inode>> symlink(std::string_view, std::string_view, const Creds&) override {
    return Err(ENOENT);
  }
  // The entries without "." and "..".
  virtual Result<std::vector<DirEntry>> list() = 0;
};

// A directory with the entries of a table.
class TableDir : public ProcDir {
 public:
  TableDir(const Subject& s, Ino ino, uint32_t mode, std::span<const Entry> table)
      : ProcDir(s, ino, mode), table_(table) {}
  explicit TableDir(Blank b) : ProcDir(b) {}
  Result<Ref<Inode>> lookup(std::string_view name) override;
  Result<std::vector<DirEntry>> list() override;
  USK_FIELDS_OF(ProcInode, table_)

 private:
  TableRef table_;
};

}  // namespace usk::proc
