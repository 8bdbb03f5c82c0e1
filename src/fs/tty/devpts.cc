#include "fs/tty/devpts.h"

#include <dirent.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include "base/id_counter.h"
#include "fs/tty/pty.h"
#include "fs/tty/tty_file.h"
#include "fs/vfs/dir_file.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/option_list.h"
#include "fs/vfs/saving.h"

namespace usk {
namespace {

constexpr uint32_t kPtsMajor = 136;
constexpr Ino kRootIno = 1, kPtmxIno = 2, kFirstSlaveIno = 3;

std::atomic<uint32_t> terminals{0};  // Over all instances.

}  // namespace

// The node of one terminal. A name that was walked to may outlive the terminal: EIO then. Its
// number for the name cache is never used again, unlike the one that stat(2) shows.
class PtsInode final : public InternalInode {
 public:
  PtsInode(Ref<DevPts> fs, uint32_t index, Ref<Tty> tty, uint32_t mode, const Creds& owner)
      : InternalInode(fs, fresh_ino(), S_IFCHR | mode, owner),
        index_(index),
        tty_(std::move(tty)) {}

  Result<Attr> getattr() override {
    Attr attr = TRY(InternalInode::getattr());
    attr.ino = kFirstSlaveIno + index_;
    attr.rdev = tty_->dev();
    attr.blksize = 1024;
    return attr;
  }
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    if (locked_) return Err(EIO);
    return TtyFile::open(tty_, std::move(path), flags, std::move(creds));
  }
  std::atomic<bool>& locked() { return locked_; }
  // Once, by the master that it was saved with.
  bool claim(const Tty& tty) { return tty_.get() == &tty && !claimed_.exchange(true); }

  explicit PtsInode(Blank b) : InternalInode(b), index_(0) {}
  USK_FIELDS_OF(InternalInode, index_, tty_, locked_)
  OrFailure<void> restored(state::Restored& r) {
    TRY(Inode::restored(r));
    if (!tty_) return fail("no terminal");
    return {};
  }

 private:
  static Ino fresh_ino() {
    static IdCounter inos("devpts inode", (uint64_t(1) << 32) + 1);
    return inos.next();
  }

  uint32_t index_;
  Ref<Tty> tty_;
  std::atomic<bool> locked_{true};
  std::atomic<bool> claimed_{false};
};

namespace {

class PtmxInode final : public InternalInode {
 public:
  explicit PtmxInode(Ref<DevPts> fs)
      : InternalInode(fs, kPtmxIno, S_IFCHR, Creds()), devpts_(fs.get()) {}
  explicit PtmxInode(Blank b) : InternalInode(b), devpts_(nullptr) {}
  USK_FIELDS_OF(InternalInode)
  OrFailure<void> restored(state::Restored& r) {
    TRY(Inode::restored(r));
    devpts_ = dynamic_cast<DevPts*>(&fs());
    return check_is<DevPts>(fs());
  }
  Result<Attr> getattr() override {
    Attr attr = TRY(InternalInode::getattr());
    attr.mode = S_IFCHR | devpts_->ptmx_mode();
    attr.rdev = makedev(5, 2);
    attr.blksize = 1024;
    return attr;
  }
  Result<void> setattr(const AttrChange& change) override {
    TRY(InternalInode::setattr(change));
    if (change.set & AttrChange::kMode) devpts_->set_ptmx_mode(change.mode & 07777);
    return {};
  }
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    Ref<Mount> mount = path.mount;
    return devpts_->open_master(std::move(mount), std::move(path), flags, std::move(creds));
  }

 private:
  DevPts* devpts_;  // The inode holds it (Inode::fs()).
};

class RootFile final : public SnapshotDirFile {
 public:
  using SnapshotDirFile::SnapshotDirFile;
  USK_FIELDS_OF(SnapshotDirFile)
  OrFailure<void> restored(state::Restored& r) {
    TRY(File::restored(r));
    return check_is<DevPts>(inode().fs());
  }

 protected:
  Result<std::vector<DirEntry>> list() override {
    std::vector<DirEntry> entries{{"ptmx", kPtmxIno, DT_CHR}};
    for (uint32_t index : static_cast<DevPts&>(inode().fs()).indices()) {
      entries.push_back({std::to_string(index), kFirstSlaveIno + index, DT_CHR});
    }
    return entries;
  }
};

class RootInode final : public InternalInode {
 public:
  explicit RootInode(Ref<DevPts> fs)
      : InternalInode(fs, kRootIno, S_IFDIR | 0755, Creds()), devpts_(fs.get()) {}
  explicit RootInode(Blank b) : InternalInode(b), devpts_(nullptr) {}
  USK_FIELDS_OF(InternalInode)
  OrFailure<void> restored(state::Restored& r) {
    TRY(Inode::restored(r));
    devpts_ = dynamic_cast<DevPts*>(&fs());
    return check_is<DevPts>(fs());
  }
  Result<Attr> getattr() override {
    Attr attr = TRY(InternalInode::getattr());
    attr.nlink = 2;
    attr.blksize = 1024;
    return attr;
  }
  Result<Ref<Inode>> lookup(std::string_view name) override { return devpts_->lookup(name); }
  bool names_are_stable() const override { return false; }
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    return make_ref<RootFile>(std::move(path), flags, std::move(creds));
  }

 private:
  DevPts* devpts_;
};

Result<void> apply(DevPtsOptions& o, std::string_view key, std::string_view text,
                   const UserNamespace& ns) {
  if (key == "newinstance") return {};
  const bool octal = key == "mode" || key == "ptmxmode";
  const uint32_t value = TRY(option_number(text, octal ? 8 : 10));
  if (key == "mode") {
    o.mode = value & 07777;
  } else if (key == "ptmxmode") {
    o.ptmxmode = value & 07777;
  } else if (key == "max") {
    o.max = value;
  } else if (key == "uid" || key == "gid") {
    const auto id = key == "uid" ? ns.uid_in(value) : ns.gid_in(value);
    if (!id) return Err(EINVAL);
    (key == "uid" ? o.uid : o.gid) = *id;
  } else {
    return Err(EINVAL);
  }
  return {};
}

}  // namespace

Result<DevPtsOptions> DevPtsOptions::parse(std::string_view text, const UserNamespace& ns) {
  DevPtsOptions o;
  TRY(for_each_option(text, [&](std::string_view key, std::string_view value) {
    return apply(o, key, value, ns);
  }));
  return o;
}

USK_SAVED(DevPts, "fs/tty/devpts")
USK_SAVED(PtsInode, "fs/tty/pts-inode")
USK_SAVED(PtmxInode, "fs/tty/ptmx-inode")
USK_SAVED(RootInode, "fs/tty/root-inode")
USK_SAVED(RootFile, "fs/tty/root-file")

DevPts::DevPts(Blank b) : FileSystem(b) {}

OrFailure<void> DevPts::restored(state::Restored&) {
  Lock lock(mu_);
  for (const auto& [index, inode] : slaves_) {
    if (!inode) return fail("a name without a terminal");
  }
  terminals += uint32_t(slaves_.size());
  return {};
}

bool DevPts::claim(uint32_t index, const Tty& tty) {
  Lock lock(mu_);
  auto it = slaves_.find(index);
  return it != slaves_.end() && it->second->claim(tty);
}

DevPts::DevPts(const DevPtsOptions& options) : FileSystem("devpts"), options_(options) {}

Result<FsStat> DevPts::statfs() {
  FsStat st;
  st.type = DEVPTS_SUPER_MAGIC;
  return st;
}

std::string DevPts::options() const {
  Lock lock(mu_);
  std::string text;
  if (options_.uid != UINT32_MAX) text += fmt::format(",uid={}", options_.uid);
  if (options_.gid != UINT32_MAX) text += fmt::format(",gid={}", options_.gid);
  text += fmt::format(",mode={:03o},ptmxmode={:03o}", options_.mode, options_.ptmxmode);
  if (options_.max < DevPtsOptions().max) text += fmt::format(",max={}", options_.max);
  return text;
}

Result<void> DevPts::remount(std::string_view text) {
  static const Ref<UserNamespace> ids = UserNamespace::make_initial();
  const DevPtsOptions options = TRY(DevPtsOptions::parse(text, *ids));
  Lock lock(mu_);
  options_ = options;
  return {};
}

Result<uint32_t> DevPts::free_index_locked() {
  uint32_t index = 0;
  for (auto& [used, inode] : slaves_) {
    if (used != index) break;
    ++index;
  }
  if (index >= options_.max || terminals.load() >= kMaxTerminals) return Err(ENOSPC);
  return index;
}

Result<uint32_t> DevPts::add(Ref<Tty>& tty, const Creds& creds) {
  DevPtsOptions options;
  {
    Lock lock(mu_);
    options = options_;
  }
  auto owner = creds.clone();
  if (options.uid != UINT32_MAX) owner->fsuid = options.uid;
  if (options.gid != UINT32_MAX) owner->fsgid = options.gid;
  auto self = Ref<DevPts>::share(this);
  for (;;) {
    uint32_t index;
    {
      Lock lock(mu_);
      index = TRY(free_index_locked());
    }
    tty = TRY(Tty::make(makedev(kPtsMajor, index), true));
    auto inode = make_ref<PtsInode>(self, index, tty, options.mode, *owner);
    Lock lock(mu_);
    if (slaves_.try_emplace(index, inode).second) {
      ++terminals;
      return index;
    }
  }
}

Result<Ref<File>> DevPts::open_master(Ref<Mount> mount, Path path, int flags,
                                      Ref<const Creds> creds) {
  Ref<Tty> tty;
  const uint32_t index = TRY(add(tty, *creds));
  return make_ref<PtyMaster>(std::move(tty), Ref<DevPts>::share(this), index, std::move(mount),
                             std::move(path), flags, std::move(creds));
}

void DevPts::set_locked(uint32_t index, bool locked) {
  Lock lock(mu_);
  if (auto it = slaves_.find(index); it != slaves_.end()) it->second->locked() = locked;
}

bool DevPts::is_locked(uint32_t index) {
  Lock lock(mu_);
  auto it = slaves_.find(index);
  return it != slaves_.end() && it->second->locked();
}

void DevPts::remove(uint32_t index) {
  Ref<PtsInode> dropped;  // Released after the lock.
  Lock lock(mu_);
  auto it = slaves_.find(index);
  CHECK(it != slaves_.end());
  dropped = std::move(it->second);
  slaves_.erase(it);
  --terminals;
}

Result<Ref<Inode>> DevPts::lookup(std::string_view name) {
  if (name == "ptmx") return make_ref<PtmxInode>(Ref<DevPts>::share(this));
  const auto index = option_number(name, 10);
  if (!index || std::to_string(*index) != name) return Err(ENOENT);
  Lock lock(mu_);
  auto it = slaves_.find(*index);
  if (it == slaves_.end()) return Err(ENOENT);
  return it->second;
}

std::vector<uint32_t> DevPts::indices() {
  Lock lock(mu_);
  std::vector<uint32_t> all;
  for (auto& [index, inode] : slaves_) all.push_back(index);
  return all;
}

uint32_t DevPts::ptmx_mode() {
  Lock lock(mu_);
  return options_.ptmxmode;
}

void DevPts::set_ptmx_mode(uint32_t mode) {
  Lock lock(mu_);
  options_.ptmxmode = mode;
}

Result<FsTree> make_devpts(const DevPtsOptions& options) {
  auto fs = make_ref<DevPts>(options);
  return FsTree{fs, Dentry::make_root(make_ref<RootInode>(fs))};
}

Result<Ref<File>> open_ptmx(Inode&, Path path, int flags, Ref<const Creds> creds) {
  Ref<Dentry> dir = path.dentry->parent();
  if (!dir) return Err(ENODEV);
  Ref<Dentry> pts = TRY(dir->lookup("pts"));
  if (pts->is_negative()) return Err(ENODEV);
  const Path place = top_of(Path(path.mount, std::move(pts)));
  auto* fs = dynamic_cast<DevPts*>(&place.inode().fs());
  if (!fs || place.dentry != place.mount->root()) return Err(ENODEV);
  return fs->open_master(place.mount, std::move(path), flags, std::move(creds));
}

}  // namespace usk
