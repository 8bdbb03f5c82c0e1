// Directories whose names come and go: /proc itself, task/, fd/ and fdinfo/ (proc_pid_fd(5),
// proc_pid_fdinfo(5), proc_pid_task(5)).
#include <dirent.h>
#include <fmt/format.h>

#include "fs/proc/inode.h"
#include "fs/proc/text_file.h"
#include "fs/vfs/saving.h"
#include "kernel/task/access.h"

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
  explicit FdLink(Blank b) : ProcInode(b), fd_(-1) {}
  USK_FIELDS_OF(ProcInode, fd_)
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
  USK_FIELDS_OF(ProcInode)

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
  explicit FdInfoFile(Blank b) : File(b) {}
  Result<size_t> read(IoOut& dst, uint64_t& pos) override {
    if (pos >= text_.size()) return 0;
    const size_t n = std::min<size_t>(dst.size(), text_.size() - pos);
    const size_t done = TRY(dst.put(std::as_bytes(std::span(text_).subspan(pos, n))));
    pos += done;
    return done;
  }
  USK_FIELDS_OF(File, text_)

 private:
  std::string text_;
};

class FdInfoInode final : public ProcInode {
 public:
  FdInfoInode(const Subject& s, Ino ino, int fd) : ProcInode(s, ino, S_IFREG | 0444), fd_(fd) {}
  explicit FdInfoInode(Blank b) : ProcInode(b), fd_(-1) {}
  USK_FIELDS_OF(ProcInode, fd_)
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
  USK_FIELDS_OF(ProcInode)

 protected:
  uint8_t entry_type() const override { return DT_REG; }
  Ref<Inode> entry(Ino ino, int fd) override { return make_ref<FdInfoInode>(subject(), ino, fd); }
};

// A task's directory has a number that no later task with its id gets.
Ino ino_of(Ino dir, const Pid& pid) { return ino_below(dir, "#" + std::to_string(pid.serial())); }

class TaskDir final : public ProcDir {
 public:
  using ProcDir::ProcDir;
  USK_FIELDS_OF(ProcInode)
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

// /proc/PID. Whom the mount hides it from finds it closed, or not there.
class ProcessDir final : public TableDir {
 public:
  ProcessDir(const Subject& s, Ino ino) : TableDir(s, ino, S_IFDIR | 0555, process_entries()) {}
  explicit ProcessDir(Blank b) : TableDir(b) {}
  USK_FIELDS_OF(TableDir)
  Result<void> permission(uint32_t may, const Creds& creds) override {
    {
      Lock lock(task_mutex);
      const Task* t = subject().find();
      if (!t) return Err(ESRCH);
      if (!subject().fs().may_see(*t, 1)) {
        return Err(subject().fs().hiding().hide == 2 ? ENOENT : EPERM);
      }
    }
    return TableDir::permission(may, creds);
  }
  Ref<Pid> process() const REQUIRES(task_mutex) {
    const Task* t = subject().find();
    return t ? t->group->pid : Ref<Pid>();
  }
};

// /proc: the processes beside the files of the system.
class RootDir final : public TableDir {
 public:
  explicit RootDir(const Subject& s) : TableDir(s, 1, S_IFDIR | 0555, system_entries()) {}
  explicit RootDir(Blank b) : TableDir(b) {}
  USK_FIELDS_OF(TableDir)
  Result<Ref<Inode>> lookup(std::string_view name) override {
    const int nr = parse_id(name);
    const ProcFs& fs = subject().fs();
    if (nr <= 0 && fs.hiding().only_processes && !name.ends_with("self")) return Err(ENOENT);
    if (nr <= 0) return TableDir::lookup(name);
    Lock lock(task_mutex);
    const Ref<Pid> pid = subject().ns().find(nr);
    if (!pid || !pid->task) return Err(ENOENT);
    if (fs.hiding().hide == 4 && !fs.may_see(*pid->task, 4)) return Err(ENOENT);
    return make_ref<ProcessDir>(Subject(subject().fs(), *pid, false), ino_of(ino(), *pid));
  }
  Result<std::vector<DirEntry>> list() override {
    std::vector<DirEntry> out = TRY(TableDir::list());
    const ProcFs& fs = subject().fs();
    if (fs.hiding().only_processes) {
      std::erase_if(out,
                    [](const DirEntry& e) { return !std::string_view(e.name).ends_with("self"); });
    }
    Lock lock(task_mutex);
    for (const Ref<Pid>& pid : subject().ns().all()) {
      if (!pid->group || !pid->task || !fs.may_see(*pid->task, 2)) continue;
      out.push_back({std::to_string(subject().nr(pid)), ino_of(ino(), *pid), DT_DIR});
    }
    return out;
  }
};

}  // namespace

USK_SAVED(FdLink, "fs/proc/fd-link")
USK_SAVED(FdDir, "fs/proc/fd-dir")
USK_SAVED(FdInfoFile, "fs/proc/fdinfo-file")
USK_SAVED(FdInfoInode, "fs/proc/fdinfo-inode")
USK_SAVED(FdInfoDir, "fs/proc/fdinfo-dir")
USK_SAVED(TaskDir, "fs/proc/task-dir")
USK_SAVED(ProcessDir, "fs/proc/process-dir")
USK_SAVED(RootDir, "fs/proc/root-dir")

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

USK_SAVED(ProcFs, "fs/proc/proc-fs")

OrFailure<void> ProcFs::restored(state::Restored& r) {
  constexpr int kLastLevel = 4;
  kernel_ = TRY(r.get<Kernel>());
  if (!ns_ || hiding_.hide < 0 || hiding_.hide > kLastLevel) return fail("options that cannot be");
  return {};
}

Result<FsStat> ProcFs::statfs() {
  FsStat st;
  st.type = magic_;
  return st;
}

bool ProcFs::may_see(const Task& t, int least) const {
  if (hiding_.hide < least) return true;
  const Task* reader = current_task();
  if (!reader) return false;
  if (hiding_.hide != 4 && reader->creds->in_group(hiding_.group)) return true;
  return may_access(*reader, t, AccessCreds::kFs);
}

std::string ProcFs::options() const {
  std::string out;
  if (hiding_.group) out += fmt::format(",gid={}", hiding_.group);
  constexpr const char* kNames[] = {"off", "noaccess", "invisible", "", "ptraceable"};
  if (hiding_.hide) out += fmt::format(",hidepid={}", kNames[hiding_.hide]);
  return hiding_.only_processes ? out + ",subset=pid" : out;
}

Result<void> ProcFs::remount(std::string_view text) {
  const Task* t = current_task();
  if (!t || text.empty()) return {};
  set_hiding(TRY(ProcOptions::parse(text, *t->creds->user_ns)));
  return {};
}

namespace {

Result<int> hide_level(std::string_view value) {
  constexpr std::string_view kNames[] = {"off", "noaccess", "invisible", "", "ptraceable"};
  for (int i : {0, 1, 2, 4}) {
    if (value == kNames[i] || value == std::to_string(i)) return i;
  }
  return Err(EINVAL);
}

}  // namespace

Result<ProcOptions> ProcOptions::parse(std::string_view text, const UserNamespace& ids) {
  ProcOptions o;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(','));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const size_t equals = word.find('=');
    const std::string_view key = word.substr(0, equals);
    const std::string_view value = equals == word.npos ? "" : word.substr(equals + 1);
    if (key == "hidepid") {
      o.hide = TRY(hide_level(value));
    } else if (key == "gid") {
      const int id = proc::parse_id(value);
      const auto group = id < 0 ? std::nullopt : ids.gid_in(uint32_t(id));
      if (!group) return Err(EINVAL);
      o.group = *group;
    } else if (key == "subset" && value == "pid") {
      o.only_processes = true;
    } else if (!word.empty()) {
      return Err(EINVAL);
    }
  }
  return o;
}

bool is_process_directory(File& file) {
  return file.path() && dynamic_cast<proc::ProcessDir*>(&file.inode());
}

Ref<Pid> process_of_directory(File& file) {
  auto* dir = file.path() ? dynamic_cast<proc::ProcessDir*>(&file.inode()) : nullptr;
  return dir ? dir->process() : Ref<Pid>();
}

Result<FsTree> make_procfs(Kernel& kernel, Ref<PidNamespace> ns, ProcOptions options) {
  auto fs = make_ref<ProcFs>(kernel, std::move(ns));
  fs->set_hiding(options);
  Ref<Inode> root = make_ref<proc::RootDir>(proc::Subject(*fs));
  return FsTree{fs, Dentry::make_root(std::move(root))};
}

}  // namespace usk
