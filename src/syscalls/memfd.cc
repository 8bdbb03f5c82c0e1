// memfd_create(2).
//
// Unlike Linux: mappings that may be written do not keep F_SEAL_WRITE from being added.
#include <fcntl.h>
#include <linux/memfd.h>

#include "fs/mem/mem_regular.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/dentry.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif
constexpr int kSealExec = 0x20;       // F_SEAL_EXEC
constexpr size_t kLongestName = 249;  // With "memfd:" in front it is a file name.

constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which libc hides.

// Linux's internal mount of shmem: a tmpfs that nobody sees.
const Ref<Mount>& memfd_mount() {
  // Never destroyed: files may outlive statics.
  static const auto& mount = *new Ref<Mount>([]() -> Ref<Mount> {
    auto tree = make_tmpfs({});
    return tree ? Mount::make(std::move(*tree), 0, "tmpfs") : Ref<Mount>();
  }());
  return mount;
}

}  // namespace

SyscallResult memfd_create(Task& t, UserStr user_name, CloexecFlags flags) {
  TRY(flags.only(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC));
  if (flags.has(MFD_EXEC) && flags.has(MFD_NOEXEC_SEAL)) return Err(EINVAL);
  const std::string name = TRY(t.mem().get_string(user_name, kLongestName, EINVAL));
  if (flags.has(MFD_HUGETLB)) return Err(ENOSYS);  // Linux: without huge pages.
  if (!memfd_mount()) return Err(ENOMEM);
  auto& fs = static_cast<MemFs&>(memfd_mount()->fs());
  const uint32_t mode = S_IFREG | (flags.has(MFD_NOEXEC_SEAL) ? 0666 : 0777);
  Ref<MemInode> node =
      TRY(fs.make_node({.mode = mode, .uid = t.creds->fsuid, .gid = t.creds->fsgid}));
  auto& regular = static_cast<MemRegular&>(*node);
  if (flags.has(MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) regular.allow_sealing();
  if (flags.has(MFD_NOEXEC_SEAL)) TRY(regular.add_seals(kSealExec));
  Path path(memfd_mount(), Dentry::make_anonymous(node, "/memfd:" + name + " (deleted)"));
  auto file = make_ref<MemFile>(std::move(path), O_RDWR | kLargeFile, t.creds);
  return TRY(t.add_fd(std::move(file), flags.has(MFD_CLOEXEC)));
}

}  // namespace usk::sys
