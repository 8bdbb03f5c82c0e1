#include "fs/proc/inode.h"

#include <dirent.h>

#include <charconv>

#include "fs/proc/text_file.h"
#include "fs/vfs/file_time.h"
#include "fs/vfs/saving.h"
#include "kernel/ptrace/yama.h"
#include "kernel/task/access.h"

namespace usk::proc {

Task* Subject::find() const {
  if (!is_task()) return nullptr;
  const Ref<Pid> pid = ns().find(number_);
  return pid && pid->serial() == serial_ ? pid->task : nullptr;
}

Result<Ref<Task>> Subject::task() const {
  Lock lock(task_mutex);
  Task* t = find();
  if (!t) return Err(ESRCH);
  return Ref<Task>::share(t);
}

Result<Ref<AddressSpace>> Subject::memory() const {
  Lock lock(task_mutex);
  Task* t = find();
  if (!t) return Err(ESRCH);
  return t->mm;
}

Result<Ref<FdTable>> Subject::fds() const {
  Lock lock(task_mutex);
  Task* t = find();
  if (!t) return Err(ESRCH);
  return t->fds;
}

Result<void> Subject::check_access() const {
  Task* reader = current_task();
  Lock lock(task_mutex);
  const Task* t = find();
  if (!t) return Err(ESRCH);
  if (!reader || !may_access(*reader, *t, AccessCreds::kFs)) return Err(EACCES);
  return {};
}

Result<void> Subject::check_attach() const {
  Task* reader = current_task();
  Lock lock(task_mutex);
  const Task* t = find();
  if (!t) return Err(ESRCH);
  if (!reader || !may_attach(*reader, *t, AccessCreds::kFs)) return Err(EACCES);
  return {};
}

Ino ino_below(Ino dir, std::string_view name) {
  uint64_t h = dir ^ 0xcbf29ce484222325;
  for (unsigned char c : name) h = (h ^ c) * 0x100000001b3;
  return (h ^ (h >> 29)) & 0x7fffffffffff;
}

const Entry* find_entry(std::span<const Entry> table, std::string_view name) {
  auto it = std::find_if(table.begin(), table.end(), [&](auto& e) { return e.name == name; });
  return it == table.end() ? nullptr : &*it;
}

int parse_id(std::string_view name) {
  int v = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), v);
  const bool whole = error == std::errc() && end == name.data() + name.size();
  return whole && v >= 0 && std::to_string(v) == name ? v : -1;
}

// The files of a process belong to who it acts as; unless it may not be looked into, to root of its
// user namespace. Directories that all may read show who it is in any case.
Result<Attr> ProcInode::getattr() {
  Attr a;
  a.dev = fs().dev();
  a.ino = ino();
  a.mode = type() | mode_;
  a.blksize = 1024;
  a.atime = a.mtime = a.ctime = file_time();
  if (subject_.is_task()) {
    Lock lock(task_mutex);
    const Task* t = subject_.find();
    if (!t) return Err(ENOENT);
    const bool is_public = is_dir() && mode_ == 0555;
    if (is_public || (t->mm && t->mm->dumpable == 1)) {
      a.uid = t->creds->euid;
      a.gid = t->creds->egid;
    } else if (t->mm) {
      a.uid = t->creds->user_ns->uid_in(0).value_or(0);
      a.gid = t->creds->user_ns->gid_in(0).value_or(0);
    }
  }
  return a;
}

// Opening with O_TRUNC is no change; modes and owners are procfs's own.
Result<void> ProcInode::setattr(const AttrChange& change) {
  return change.set & ~uint32_t(AttrChange::kSize) ? Result<void>(Err(EPERM)) : Result<void>();
}

Result<uint32_t> parse_uint(std::string_view text) {
  const size_t last = text.find_last_not_of('\n');
  text = text.substr(0, last == text.npos ? 0 : last + 1);
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.starts_with('0')) {
    base = 8;
  }
  uint32_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v, base);
  if (error == std::errc::result_out_of_range) return Err(ERANGE);
  if (error != std::errc() || end != text.data() + text.size()) return Err(EINVAL);
  return v;
}

namespace {

class ProcDirFile final : public SnapshotDirFile {
 public:
  ProcDirFile(Ref<ProcDir> dir, Path path, int flags, Ref<const Creds> creds)
      : SnapshotDirFile(std::move(path), flags, std::move(creds)), dir_(std::move(dir)) {}
  explicit ProcDirFile(Blank b) : SnapshotDirFile(b) {}
  USK_FIELDS_OF(SnapshotDirFile, dir_)
  OrFailure<void> restored(state::Restored& r) {
    TRY(File::restored(r));
    if (!dir_) return fail("no directory");
    return {};
  }

 protected:
  Result<std::vector<DirEntry>> list() override { return dir_->list(); }

 private:
  Ref<ProcDir> dir_;
};

class TextInode final : public ProcInode {
 public:
  TextInode(const Subject& s, Ino ino, const Entry& e) : ProcInode(s, ino, e.mode), entry_(e) {}
  explicit TextInode(Blank b) : ProcInode(b), entry_(b) {}
  USK_FIELDS_OF(ProcInode, entry_)
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    if ((flags & O_ACCMODE) != O_RDONLY && !entry_->write) return Err(EACCES);
    if (entry_->guarded) TRY(subject().check_access());
    return make_ref<TextFile>(subject(), entry_, std::move(path), flags, std::move(creds));
  }

 private:
  EntryRef entry_;
};

class LinkInode final : public ProcInode {
 public:
  LinkInode(const Subject& s, Ino ino, const Entry& e) : ProcInode(s, ino, e.mode), entry_(e) {}
  explicit LinkInode(Blank b) : ProcInode(b), entry_(b) {}
  USK_FIELDS_OF(ProcInode, entry_)
  OrFailure<void> restored(state::Restored& r) {
    TRY(ProcInode::restored(r));
    if (!entry_->text && !entry_->goal) return fail("a link to nothing");
    return {};
  }
  Result<std::string> readlink() override {
    if (!entry_->goal) return entry_->text(subject());
    TRY(subject().check_access());
    if (entry_->text) return entry_->text(subject());
    return shown(TRY(entry_->goal(subject())));
  }
  bool is_magic_link() const override { return entry_->goal; }
  Result<Path> follow_magic(const WalkContext&) override {
    TRY(subject().check_access());
    return entry_->goal(subject());
  }

 private:
  EntryRef entry_;
};

}  // namespace

USK_SAVED(ProcInode, "fs/proc/inode")
USK_SAVED(TableDir, "fs/proc/table-dir")
USK_SAVED(ProcDirFile, "fs/proc/dir-file")
USK_SAVED(TextInode, "fs/proc/text-inode")
USK_SAVED(LinkInode, "fs/proc/link-inode")

OrFailure<void> Subject::check(const Inode& inode) const {
  if (!fs_ || fs_ != &inode.fs()) return fail("a file about nothing");
  return {};
}

OrFailure<void> ProcInode::restored(state::Restored& r) {
  TRY(Inode::restored(r));
  return subject_.check(*this);
}

std::string shown(const Path& path) {
  Task* reader = current_task();
  return PathText::of(path, reader && reader->fs ? reader->fs->root() : Path()).shown();
}

Result<Attr> ProcDir::getattr() {
  Attr a = TRY(ProcInode::getattr());
  a.nlink = 2;
  return a;
}

Result<Ref<File>> ProcDir::open(Path path, int flags, Ref<const Creds> creds) {
  return make_ref<ProcDirFile>(Ref<ProcDir>::share(this), std::move(path), flags, std::move(creds));
}

Result<Ref<Inode>> TableDir::lookup(std::string_view name) {
  const Entry* e = find_entry(table_.entries(), name);
  if (!e) return Err(ENOENT);
  return make_inode(subject(), ino_below(ino(), name), *e);
}

Result<std::vector<DirEntry>> TableDir::list() {
  std::vector<DirEntry> out;
  for (const Entry& e : table_.entries()) {
    out.push_back({std::string(e.name), ino_below(ino(), e.name), uint8_t(IFTODT(e.mode))});
  }
  return out;
}

Ref<Inode> make_inode(const Subject& s, Ino ino, const Entry& e) {
  if (e.make) return e.make(s, ino, e);
  if (S_ISDIR(e.mode)) return make_ref<TableDir>(s, ino, e.mode, e.children);
  if (S_ISLNK(e.mode)) return make_ref<LinkInode>(s, ino, e);
  return make_ref<TextInode>(s, ino, e);
}

}  // namespace usk::proc
