// Directories whose names come and go: /proc itself, task/, fd/ and fdinfo/ (proc_pid_fd(5),
// proc_pid_fdinfo(5), proc_pid_task(5)).
#include <dirent.h>
#include <fmt/format.h>

#include "fs/proc/inode.h"
#include "fs/proc/text_file.h"

namespace usk::proc {
namespace {

Result<Ref<File>> file_at(const Subject& s, int fd) {
  const Ref<FdTable> fds = TRY(s.fds());
  if (!fds) return Err(ENOENT);
  auto file = fds->get(fd);
  if (!file) return Err(ENOENT);
  return file;
}

class FdLink final : public ProcInode {
 public:
  FdLink(const Subject& s, Ino ino, int fd) : ProcInode(s, ino, S_IFLNK | 0777), fd_(fd) {}
  // Its permissions are what the descriptor can do.
  Result<Attr> getattr() override {
    Attr a = TRY(ProcInode::getattr());
    const Ref<File> file = TRY(file_at(subject(), fd_));
    const bool place = file->can(File::kPathOnly);
    const int mode = file->flags() & O_ACCMODE;
    a.mode =
        S_IFLNK | (place || mode == O_WRONLY ? 0 : 0500) | (place || mode == O_RDONLY ? 0 : 0300);
    a.size = 64;
    return a;
  }
  Result<std::string> readlink() override {
    TRY(subject().check_access());
    return shown(TRY(file_at(subject(), fd_))->path());
  }
  bool is_magic_link() const override { return true; }
  Result<Path> follow_magic(const WalkContext&) override {
    TRY(subject().check_access());
    return TRY(file_at(subject(), fd_))->path();
  }

 private:
  int fd_;
};

// The descriptors of a task, one entry each.
class DescriptorDir : public ProcDir {
 public:
  using ProcDir::ProcDir;
  // One's own descriptors are always open to look at.
  Result<void> permission(uint32_t may, const Creds& creds) override {
    auto r = ProcDir::permission(may, creds);
    if (r) return r;
    Task* reader = current_task();
    const auto t = subject().task();
    return reader && t && (*t)->group == reader->group ? Result<void>() : r;
  }
  Result<std::vector<DirEntry>> list() override {
    TRY(subject().check_access());
    std::vector<DirEntry> out;
    const Ref<FdTable> fds = TRY(subject().fds());
    if (!fds) return out;
    for (int fd : fds->open_fds()) {
      const std::string name = std::to_string(fd);
      out.push_back({name, ino_below(ino(), name), entry_type()});
    }
    return out;
  }
  Result<Ref<Inode>> lookup(std::string_view name) override {
    const int fd = parse_id(name);
    if (fd < 0) return Err(ENOENT);
    TRY(subject().check_access());
    TRY(file_at(subject(), fd));
    return entry(ino_below(ino(), name), fd);
  }

 protected:
  virtual uint8_t entry_type() const = 0;
  virtual Ref<Inode> entry(Ino ino, int fd) = 0;
};

class FdDir final : public DescriptorDir {
 public:
  using DescriptorDir::DescriptorDir;

 protected:
  uint8_t entry_type() const override { return DT_LNK; }
  Ref<Inode> entry(Ino ino, int fd) override { return make_ref<FdLink>(subject(), ino, fd); }
};

Result<std::string> fdinfo_text(const Subject& s, int fd) {
  const Ref<FdTable> fds = TRY(s.fds());
  if (!fds) return Err(ENOENT);
  auto slot = fds->get_slot(fd);
  if (!slot) return Err(ENOENT);
  File& file = *slot->file;
  uint64_t pos;
  {
    Lock lock(file.pos_mutex());
    pos = file.pos_locked();
  }
  const int flags = file.flags() | (slot->cloexec ? O_CLOEXEC : 0);
  const Path& path = file.path();
  const auto attr = file.inode().getattr();
  return fmt::format("pos:\t{}\nflags:\t0{:o}\nmnt_id:\t{}\nino:\t{}\n", pos, flags,
                     path.mount ? path.mount->id() : 0, attr ? attr->ino : 0) +
         file.fdinfo();
}

// Made when it is opened: the position of a file may not be asked for while another's (this
// one's own) is held.
class FdInfoFile final : public File {
 public:
  FdInfoFile(std::string text, Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)), text_(std::move(text)) {}
  Result<size_t> read(IoOut& dst, uint64_t& pos) override {
    if (pos >= text_.size()) return 0;
    const size_t n = std::min<size_t>(dst.size(), text_.size() - pos);
    const size_t done = TRY(dst.put(std::as_bytes(std::span(text_).subspan(pos, n))));
    pos += done;
    return done;
  }
  USK_FIELDS(text_)

 private:
  std::string text_;
};

class FdInfoInode final : public ProcInode {
 public:
  FdInfoInode(const Subject& s, Ino ino, int fd) : ProcInode(s, ino, S_IFREG | 0444), fd_(fd) {}
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    if ((flags & O_ACCMODE) != O_RDONLY) return Err(EACCES);
    TRY(subject().check_access());
    return make_ref<FdInfoFile>(TRY(fdinfo_text(subject(), fd_)), std::move(path), flags,
                                std::move(creds));
  }

 private:
  int fd_;
};

class FdInfoDir final : public DescriptorDir {
 public:
  using DescriptorDir::DescriptorDir;

 protected:
  uint8_t entry_type() const override { return DT_REG; }
  Ref<Inode> entry(Ino ino, int fd) override { return make_ref<FdInfoInode>(subject(), ino, fd); }
};

// A task's directory has a number that no later task with its id gets.
Ino ino_of(Ino dir, const Pid& pid) { return ino_below(dir, "#" + std::to_string(pid.serial())); }

class TaskDir final : public ProcDir {
 public:
  using ProcDir::ProcDir;
  Result<Attr> getattr() override {
    Attr a = TRY(ProcDir::getattr());
    if (const auto t = subject().task()) {
      Lock lock(task_mutex);
      a.nlink = uint32_t(2 + (*t)->group->tasks.size());
    }
    return a;
  }
  Result<Ref<Inode>> lookup(std::string_view name) override {
    const int nr = parse_id(name);
    if (nr <= 0) return Err(ENOENT);
    Lock lock(task_mutex);
    const Ref<Pid> pid = subject().ns().find(nr);
    const Task* mine = subject().find();
    if (!pid || !pid->task || !mine || pid->task->group != mine->group) return Err(ENOENT);
    return make_ref<TableDir>(Subject(subject().fs(), *pid, true), ino_of(ino(), *pid),
                              S_IFDIR | 0555, thread_entries());
  }
  Result<std::vector<DirEntry>> list() override {
    Lock lock(task_mutex);
    std::vector<DirEntry> out;
    const Task* self = subject().find();
    if (!self) return Err(ENOENT);
    for (const Task* t : self->group->tasks) {
      if (const int nr = subject().nr(t->pid)) {
        out.push_back({std::to_string(nr), ino_of(ino(), *t->pid), DT_DIR});
      }
    }
    return out;
  }
};

// /proc: the processes beside the files of the system.
class RootDir final : public TableDir {
 public:
  explicit RootDir(const Subject& s) : TableDir(s, 1, S_IFDIR | 0555, system_entries()) {}
  Result<Ref<Inode>> lookup(std::string_view name) override {
    const int nr = parse_id(name);
    if (nr <= 0) return TableDir::lookup(name);
    Lock lock(task_mutex);
    const Ref<Pid> pid = subject().ns().find(nr);
    if (!pid || !pid->task) return Err(ENOENT);
    return make_ref<TableDir>(Subject(subject().fs(), *pid, false), ino_of(ino(), *pid),
                              S_IFDIR | 0555, process_entries());
  }
  Result<std::vector<DirEntry>> list() override {
    std::vector<DirEntry> out = TRY(TableDir::list());
    Lock lock(task_mutex);
    for (const Ref<Pid>& pid : subject().ns().all()) {
      if (!pid->group || !pid->task) continue;
      out.push_back({std::to_string(subject().nr(pid)), ino_of(ino(), *pid), DT_DIR});
    }
    return out;
  }
};

}  // namespace

Ref<Inode> make_fd_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<FdDir>(s, ino, e.mode);
}

Ref<Inode> make_fdinfo_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<FdInfoDir>(s, ino, e.mode);
}

Ref<Inode> make_task_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TaskDir>(s, ino, e.mode);
}

}  // namespace usk::proc

namespace usk {

Result<FsStat> ProcFs::statfs() {
  FsStat st;
  st.type = magic_;
  return st;
}

Result<FsTree> make_procfs(Kernel& kernel, Ref<PidNamespace> ns) {
  auto fs = make_ref<ProcFs>(kernel, std::move(ns));
  Ref<Inode> root = make_ref<proc::RootDir>(proc::Subject(*fs));
  return FsTree{fs, Dentry::make_root(std::move(root))};
}

}  // namespace usk
