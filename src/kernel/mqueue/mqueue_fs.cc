// The mqueue file system.
#include <linux/capability.h>

#include <unordered_map>

#include "fs/vfs/dentry.h"
#include "fs/vfs/mount.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/saving.h"
#include "fs/vfs/vfs_ops.h"
#include "kernel/mqueue/mqueue.h"
#include "kernel/task/task.h"

namespace usk {
namespace {

constexpr uint64_t kMagic = 0x19800202;
constexpr uint64_t kHardMessages = 65536, kHardSize = 16 << 20;  // With CAP_SYS_RESOURCE.

// What queues hold for each user, against RLIMIT_MSGQUEUE.
class UserRoom {
 public:
  bool charge(Uid uid, uint64_t bytes, uint64_t limit) {
    Lock lock(mu_);
    uint64_t& used = used_[uid];
    if (bytes > limit || used > limit - bytes) return false;
    used += bytes;
    return true;
  }
  void release(Uid uid, uint64_t bytes) {
    Lock lock(mu_);
    auto it = used_.find(uid);
    if ((it->second -= bytes) == 0) used_.erase(it);
  }

 private:
  Mutex<Rank::kLeaf> mu_;
  std::unordered_map<Uid, uint64_t> used_ GUARDED_BY(mu_);
};
UserRoom& user_room() {
  static UserRoom room;
  return room;
}

// Linux: what the messages and their bookkeeping take at most.
uint64_t room_of(const MqLimits& l) {
  constexpr uint64_t kMessage = 48, kTreeNode = 48, kPriorities = 32768;
  return l.messages * (kMessage + l.size) + std::min(l.messages, kPriorities) * kTreeNode;
}

class MqueueDir final : public MemDir {
 public:
  using MemDir::MemDir;
  USK_FIELDS_OF(MemDir)
  Result<void> rename(std::string_view, Inode&, Inode&, std::string_view, Inode*,
                      uint32_t) override {
    return Err(EPERM);
  }
  Result<Ref<Inode>> symlink(std::string_view, std::string_view, const Creds&) override {
    return Err(EPERM);
  }
  Result<void> link(std::string_view, Inode&) override { return Err(EPERM); }
  Result<Ref<Inode>> tmpfile(uint32_t, const Creds&) override { return Err(EOPNOTSUPP); }
};

Result<void> check_name(const std::string& name) {
  if (name.empty()) return Err(ENOENT);
  if (name == "." || name == ".." || name.find('/') != name.npos) return Err(EACCES);
  if (name.size() > 255) return Err(ENAMETOOLONG);
  return {};
}

}  // namespace

USK_SAVED(MqueueDir, "kernel/mqueue/dir")
USK_SAVED(MqueueInode, "kernel/mqueue/inode")
USK_SAVED(MqueueFile, "kernel/mqueue/file")
USK_SAVED(MqueueFs, "kernel/mqueue/mqueue-fs")
USK_SAVED(MqReceiver, "kernel/mqueue/receiver")

OrFailure<void> MqueueInode::restored(state::Restored& r) {
  TRY(MemInode::restored(r));
  Lock lock(mu_);
  uint64_t bytes = 0, count = 0;
  for (const auto& [priority, messages] : messages_) {
    if (messages.empty()) return fail("a priority without messages");
    for (const MqMessage& m : messages) bytes += m.text.size();
    count += messages.size();
  }
  if (bytes != bytes_ || count != count_) return fail("another number of messages");
  for (const MqReceiver* waiting : line_) {
    if (!waiting || !waiting->in_line) return fail("a receiver that is not in line");
  }
  if (!user_room().charge(attr_.uid, room_, UINT64_MAX)) return fail("too many queues");
  return {};
}

OrFailure<void> MqueueFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<MqueueInode>(*this);
}

MqueueInode::MqueueInode(Ref<MemFs> fs, Ino ino, const NodeInit& init, MqLimits limits,
                         uint64_t room)
    : MemInode(std::move(fs), ino, init, /*charged=*/true), limits_(limits), room_(room) {}

MqueueInode::~MqueueInode() { user_room().release(attr_.uid, room_); }

MqueueFs::MqueueFs(Ref<UserNamespace> owner)
    : MemFs("mqueue", kMagic, make_ref<MemQuota>(0, 0)), owner_(std::move(owner)) {}

Result<MqLimits> MqueueFs::choose_limits(const Creds& creds) {
  const MqSysctls s = sysctls();
  if (!asked_) {
    return MqLimits{uint64_t(std::min(s.msg_max, s.msg_default)),
                    uint64_t(std::min(s.msgsize_max, s.msgsize_default))};
  }
  const bool privileged = creds.capable_in_root(CAP_SYS_RESOURCE);
  const uint64_t most = privileged ? kHardMessages : uint64_t(s.msg_max);
  const uint64_t longest = privileged ? kHardSize : uint64_t(s.msgsize_max);
  if (asked_->messages - 1 >= most || asked_->size - 1 >= longest) return Err(EINVAL);
  return *asked_;
}

Result<Ref<MemInode>> MqueueFs::make_node(NodeInit init) {
  const Task* t = current_task();
  if (!S_ISREG(init.mode) || !t) return Err(EPERM);
  if (quota()->inodes() >= uint64_t(sysctls().queues_max) &&
      !t->creds->capable_in_root(CAP_SYS_RESOURCE)) {
    return Err(ENOSPC);
  }
  const MqLimits limits = TRY(choose_limits(*t->creds));
  if (!user_room().charge(init.uid, room_of(limits), t->limit(RLIMIT_MSGQUEUE))) {
    return Err(EMFILE);
  }
  if (!quota()->charge_inode()) return Err(ENOSPC);
  return make_ref<MqueueInode>(Ref<MemFs>::share(this), next_ino(), init, limits, room_of(limits));
}

MqSysctls MqueueFs::sysctls() {
  Lock lock(mu_);
  return sysctls_;
}

void MqueueFs::set_sysctls(const MqSysctls& s) {
  Lock lock(mu_);
  sysctls_ = s;
}

Ref<Mount> make_mqueue_mount(Ref<UserNamespace> owner) {
  auto fs = make_ref<MqueueFs>(std::move(owner));
  auto root = make_ref<MqueueDir>(fs, fs->next_ino(), NodeInit{.mode = S_IFDIR | 01777},
                                  /*charged=*/false);
  root->change_links(2);
  return Mount::make(FsTree{fs, Dentry::make_root(std::move(root))}, 0, "mqueue");
}

namespace {

// The queue's dentry, made if need be.
Result<Ref<Dentry>> look_or_make(const WalkContext& ctx, const Path& root, const MqOpen& how,
                                 bool& made) {
  auto& fs = static_cast<MqueueFs&>(root.inode().fs());
  Lock lock(root.dentry->mutex());
  Ref<Dentry> d = TRY(root.dentry->lookup_locked(how.name));
  if (!d->is_negative()) {
    if ((how.flags & O_CREAT) && (how.flags & O_EXCL)) return Err(EEXIST);
    return d;
  }
  if (!(how.flags & O_CREAT)) return Err(ENOENT);
  TRY(vfs::may_create(ctx, root));
  fs.ask(how.limits);
  auto inode =
      root.inode().mknod(how.name, S_IFREG | (how.mode & 0777 & ~ctx.umask), 0, *ctx.creds);
  fs.ask(std::nullopt);
  made = true;
  return root.dentry->add_locked(how.name, TRY(inode));
}

}  // namespace

Result<Ref<File>> open_mqueue(const WalkContext& ctx, const Ref<Mount>& mount, const MqOpen& how) {
  TRY(check_name(how.name));
  const Path root(mount, mount->root());
  if (installed_guard && (how.flags & O_CREAT)) {
    const Ref<Dentry> there = TRY(root.dentry->lookup(how.name));
    if (there->is_negative()) TRY(installed_guard->open_new(root, how.name, how.flags));
  }
  bool made = false;
  Ref<Dentry> found = TRY(look_or_make(ctx, root, how, made));
  const int flags = how.flags & (O_ACCMODE | O_NONBLOCK);
  const Path place(mount, std::move(found));
  if (!made) return vfs::open_place(ctx, place, flags);
  notify_dir(root.inode(), IN_CREATE, how.name);
  return place.inode().open(place, flags, ctx.creds);
}

Result<void> unlink_mqueue(const WalkContext& ctx, const Ref<Mount>& mount,
                           const std::string& name) {
  TRY(check_name(name));
  return vfs::unlink(ctx, Path(mount, mount->root()), name);
}

}  // namespace usk
