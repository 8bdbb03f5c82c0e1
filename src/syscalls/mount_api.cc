// open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), fspick(2), mount_setattr(2).
#include <linux/capability.h>
#include <sys/mount.h>

#include "fs/anon/anon_file.h"
#include "fs/vfs/mount_context.h"
#include "fs/vfs/path_file.h"
#include "fs/vfs/saving.h"
#include "syscalls/mount_args.h"
#include "syscalls/mount_types.h"
#include "syscalls/versioned.h"

namespace usk::sys {
namespace {

constexpr uint32_t kAtRecursive = 0x8000;  // AT_RECURSIVE
constexpr uint32_t kMoveBeneath = 0x200;   // MOVE_MOUNT_BENEATH
constexpr uint64_t kMaxKey = 256, kMaxBlob = 1 << 20;
constexpr unsigned long kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;
constexpr unsigned long kAtimeFlags = MS_NOATIME | MS_RELATIME;

class ContextFile final : public AnonFile {
 public:
  ContextFile(Ref<MountContext> context, Ref<const Creds> creds)
      : AnonFile("[fscontext]", O_RDWR, std::move(creds)), context_(std::move(context)) {}
  explicit ContextFile(Blank b) : AnonFile(b) {}
  MountContext& context() { return *context_; }
  Result<size_t> read(IoOut& dst, uint64_t&) override {
    const std::string text = TRY(context_->next_message());
    if (text.size() > dst.size()) return Err(EMSGSIZE);
    return dst.put(std::as_bytes(std::span(text)));
  }
  USK_FIELDS_OF(File, context_)
  OrFailure<void> restored(state::Restored& r) {
    TRY(File::restored(r));
    if (!context_) return fail("a file of nothing");
    return {};
  }

 private:
  Ref<MountContext> context_;
};
USK_SAVED(ContextFile, "syscalls/context-file")

// The place that an *at call with flags of its own means.
Result<Path> place(Task& t, DirFd dir, UserPath path, bool follow, bool empty) {
  const PathArg p = TRY(get_path(t, dir, path));
  return p.walk((follow ? uint32_t(kFollow) : 0u) | (empty ? uint32_t(kEmptyPath) : 0u));
}

Result<Ref<ContextFile>> get_context(Task& t, int fd) {
  Ref<ContextFile> file = ref_cast<ContextFile>(TRY(t.file(fd)));
  if (!file) return Err(EINVAL);
  return file;
}

SyscallResult add_tree(Task& t, Path top, Ref<MountNamespace> tree, bool cloexec) {
  auto file = make_ref<PathFile>(std::move(top), O_PATH, t.creds, std::move(tree));
  return TRY(t.add_fd(std::move(file), cloexec));
}

}  // namespace

Result<unsigned long> flags_from_attributes(uint64_t attributes) {
  constexpr uint64_t kKnown = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                              MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME |
                              MOUNT_ATTR_NOSYMFOLLOW;
  if (attributes & ~kKnown) return Err(EINVAL);
  unsigned long out = 0;
  if (attributes & MOUNT_ATTR_RDONLY) out |= MS_RDONLY;
  if (attributes & MOUNT_ATTR_NOSUID) out |= MS_NOSUID;
  if (attributes & MOUNT_ATTR_NODEV) out |= MS_NODEV;
  if (attributes & MOUNT_ATTR_NOEXEC) out |= MS_NOEXEC;
  if (attributes & MOUNT_ATTR_NODIRATIME) out |= MS_NODIRATIME;
  if (attributes & MOUNT_ATTR_NOSYMFOLLOW) out |= MS_NOSYMFOLLOW;
  switch (attributes & MOUNT_ATTR__ATIME) {
    case MOUNT_ATTR_RELATIME: return out | MS_RELATIME;
    case MOUNT_ATTR_NOATIME: return out | MS_NOATIME;
    case MOUNT_ATTR_STRICTATIME: return out;
    default: return Err(EINVAL);
  }
}

uint64_t attributes_from_flags(unsigned long flags) {
  uint64_t out = 0;
  if (flags & MS_RDONLY) out |= MOUNT_ATTR_RDONLY;
  if (flags & MS_NOSUID) out |= MOUNT_ATTR_NOSUID;
  if (flags & MS_NODEV) out |= MOUNT_ATTR_NODEV;
  if (flags & MS_NOEXEC) out |= MOUNT_ATTR_NOEXEC;
  if (flags & MS_NODIRATIME) out |= MOUNT_ATTR_NODIRATIME;
  if (flags & MS_NOSYMFOLLOW) out |= MOUNT_ATTR_NOSYMFOLLOW;
  if (flags & MS_NOATIME) return out | MOUNT_ATTR_NOATIME;
  return flags & MS_RELATIME ? out : out | MOUNT_ATTR_STRICTATIME;
}

SyscallResult open_tree(Task& t, DirFd dir, UserPath path, AtFlags flags) {
  TRY(flags.only(AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW | kAtRecursive |
                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  const bool clone = flags.has(OPEN_TREE_CLONE), recursive = flags.has(kAtRecursive);
  if (recursive && !clone) return Err(EINVAL);
  if (clone && !may_mount(t)) return Err(EPERM);
  Path at = TRY(place(t, dir, path, !flags.has(AT_SYMLINK_NOFOLLOW), flags.has(AT_EMPTY_PATH)));
  Ref<MountNamespace> tree;
  if (clone) {
    tree = TRY(t.ns.mounts->copy_tree(at, recursive));
    at = tree->root();
  }
  return add_tree(t, std::move(at), std::move(tree), flags.has(OPEN_TREE_CLOEXEC));
}

SyscallResult move_mount(Task& t, DirFd from_dir, UserPath from_path, DirFd to_dir,
                         UserPath to_path, uint32_t flags) {
  if (!may_mount(t)) return Err(EPERM);
  if (flags & ~uint32_t(MOVE_MOUNT__MASK | MOVE_MOUNT_SET_GROUP | kMoveBeneath)) {
    return Err(EINVAL);
  }
  const bool beneath = flags & kMoveBeneath, set_group = flags & MOVE_MOUNT_SET_GROUP;
  if (beneath && set_group) return Err(EINVAL);
  const Path from = TRY(place(t, from_dir, from_path, flags & MOVE_MOUNT_F_SYMLINKS,
                              flags & MOVE_MOUNT_F_EMPTY_PATH));
  const Path to = TRY(
      place(t, to_dir, to_path, flags & MOVE_MOUNT_T_SYMLINKS, flags & MOVE_MOUNT_T_EMPTY_PATH));
  if (set_group) {
    TRY(t.ns.mounts->set_group(from, to));
    return 0;
  }
  if (beneath && to.mount == t.fs->root().mount) return Err(EINVAL);
  TRY(t.ns.mounts->move(from, to, beneath));
  return 0;
}

SyscallResult fsopen(Task& t, UserStr name, uint32_t flags) {
  if (!may_mount(t)) return Err(EPERM);
  if (flags & ~uint32_t(FSOPEN_CLOEXEC)) return Err(EINVAL);
  std::string type = TRY(t.mem().get_string(name, 4095, EINVAL));
  TRY(check_file_system_option(t, type, ""));
  auto file = make_ref<ContextFile>(make_ref<MountContext>(std::move(type)), t.creds);
  return TRY(t.add_fd(std::move(file), flags & FSOPEN_CLOEXEC));
}

SyscallResult fspick(Task& t, DirFd dir, UserPath path, uint32_t flags) {
  if (!may_mount(t)) return Err(EPERM);
  constexpr uint32_t kKnown =
      FSPICK_CLOEXEC | FSPICK_SYMLINK_NOFOLLOW | FSPICK_NO_AUTOMOUNT | FSPICK_EMPTY_PATH;
  if (flags & ~kKnown) return Err(EINVAL);
  const Path at =
      TRY(place(t, dir, path, !(flags & FSPICK_SYMLINK_NOFOLLOW), flags & FSPICK_EMPTY_PATH));
  if (at.dentry != at.mount->root()) return Err(EINVAL);
  auto file = make_ref<ContextFile>(make_ref<MountContext>(at.mount->fs_ref()), t.creds);
  return TRY(t.add_fd(std::move(file), flags & FSPICK_CLOEXEC));
}

namespace {

Result<void> check_config(uint32_t command, uint64_t key, uint64_t value, int32_t aux) {
  bool right = false;
  switch (command) {
    case FSCONFIG_SET_FLAG: right = key && !value && !aux; break;
    case FSCONFIG_SET_STRING: right = key && value && !aux; break;
    case FSCONFIG_SET_BINARY: right = key && value && aux > 0 && aux <= int(kMaxBlob); break;
    case FSCONFIG_SET_PATH:
    case FSCONFIG_SET_PATH_EMPTY: right = key && value && (aux == AT_FDCWD || aux >= 0); break;
    case FSCONFIG_SET_FD: right = key && !value && aux >= 0; break;
    case FSCONFIG_CMD_CREATE:
    case FSCONFIG_CMD_RECONFIGURE:
    case 8 /* FSCONFIG_CMD_CREATE_EXCL */: right = !key && !value && !aux; break;
    default: return Err(EOPNOTSUPP);
  }
  if (!right) return Err(EINVAL);
  return {};
}

}  // namespace

SyscallResult fsconfig(Task& t, Fd fd, uint32_t command, UserStr key, uint64_t value, int32_t aux) {
  if (fd.n < 0) return Err(EINVAL);
  TRY(check_config(command, key.addr, value, aux));
  const Ref<ContextFile> file = TRY(get_context(t, fd.n));
  MountContext& context = file->context();
  std::string name;
  if (key.addr) name = TRY(t.mem().get_string(key, kMaxKey - 1, EINVAL));
  const MountContext::Check check = [&t](std::string_view type, std::string_view option) {
    return check_file_system_option(t, type, option);
  };
  switch (command) {
    case FSCONFIG_SET_FLAG: TRY(context.set(name, nullptr, check)); break;
    case FSCONFIG_SET_STRING: {
      const std::string text = TRY(t.mem().get_string({value}, kMaxKey - 1, EINVAL));
      TRY(context.set(name, &text, check));
      break;
    }
    case FSCONFIG_CMD_CREATE:
    case 8:
      TRY(context.create([&t](std::string_view type, std::string_view options) {
        return make_file_system(t, type, options);
      }));
      break;
    case FSCONFIG_CMD_RECONFIGURE: TRY(context.reconfigure()); break;
    default: TRY(context.set_other(name)); break;
  }
  return 0;
}

SyscallResult fsmount(Task& t, Fd fd, uint32_t flags, uint32_t attributes) {
  if (!may_mount(t)) return Err(EPERM);
  if (flags & ~uint32_t(FSMOUNT_CLOEXEC)) return Err(EINVAL);
  const unsigned long mount_flags = TRY(flags_from_attributes(attributes));
  const Ref<ContextFile> file = TRY(get_context(t, fd.n));
  MountContext::Made made = TRY(file->context().take());
  auto mount = Mount::make(std::move(made.tree), mount_flags, std::move(made.source));
  auto tree = MountNamespace::make_detached(std::move(mount), t.ns.mounts->owner());
  Path top = tree->root();
  return add_tree(t, std::move(top), std::move(tree), flags & FSMOUNT_CLOEXEC);
}

namespace {

// What to do to the flags of each mount.
Result<MountNamespace::AttrMask> attribute_changes(const mount_attr& a) {
  MountNamespace::AttrMask what;
  if (a.propagation & ~uint64_t(kPropagation)) return Err(EINVAL);
  if (a.propagation & (a.propagation - 1)) return Err(EINVAL);
  what.type = a.propagation;
  const uint64_t atime = MOUNT_ATTR__ATIME;
  if ((a.attr_clr & atime) && (a.attr_clr & atime) != atime) return Err(EINVAL);
  if ((a.attr_set & atime) && !(a.attr_clr & atime)) return Err(EINVAL);
  // Linux: a file system that cannot map ids (MOUNT_ATTR_IDMAP) refuses it so as well.
  what.set = TRY(flags_from_attributes(a.attr_set));
  what.clear = TRY(flags_from_attributes(a.attr_clr & ~atime));
  if (a.attr_clr & atime) {
    what.clear |= kAtimeFlags;
  } else {
    what.set &= ~kAtimeFlags;
    what.clear &= ~kAtimeFlags;
  }
  return what;
}

}  // namespace

SyscallResult mount_setattr(Task& t, DirFd dir, UserPath path, AtFlags flags,
                            UserPtr<mount_attr> attributes, uint64_t size) {
  TRY(flags.only(AT_EMPTY_PATH | kAtRecursive | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT));
  if (size > 4096) return Err(E2BIG);
  if (size < MOUNT_ATTR_SIZE_VER0) return Err(EINVAL);
  if (!may_mount(t)) return Err(EPERM);
  const auto a = TRY(get_versioned<mount_attr>(t, attributes.addr, size, MOUNT_ATTR_SIZE_VER0));
  if (!a.attr_set && !a.attr_clr && !a.propagation) return 0;
  const MountNamespace::AttrMask what = TRY(attribute_changes(a));
  const Path at =
      TRY(place(t, dir, path, !flags.has(AT_SYMLINK_NOFOLLOW), flags.has(AT_EMPTY_PATH)));
  TRY(t.ns.mounts->set_attributes(at, what, flags.has(kAtRecursive)));
  return 0;
}

SyscallResult open_tree_attr(Task& t, DirFd dir, UserPath path, AtFlags flags,
                             UserPtr<mount_attr> attributes, uint64_t size) {
  if (!attributes.addr && size != 0) return Err(EINVAL);
  MountNamespace::AttrMask what;
  if (size) {
    if (!may_mount(t)) return Err(EPERM);
    what = TRY(attribute_changes(
        TRY(get_versioned<mount_attr>(t, attributes.addr, size, MOUNT_ATTR_SIZE_VER0))));
    if (!flags.has(OPEN_TREE_CLONE)) return Err(EINVAL);
  }
  if (!size) return open_tree(t, dir, path, flags);
  TRY(flags.only(AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW | kAtRecursive |
                 OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  const Path from =
      TRY(place(t, dir, path, !flags.has(AT_SYMLINK_NOFOLLOW), flags.has(AT_EMPTY_PATH)));
  const bool recursive = flags.has(kAtRecursive);
  Ref<MountNamespace> tree = TRY(t.ns.mounts->copy_tree(from, recursive));
  Path top = tree->root();
  TRY(tree->set_attributes(top, what, recursive));
  return add_tree(t, std::move(top), std::move(tree), flags.has(OPEN_TREE_CLOEXEC));
}

}  // namespace usk::sys
