// memfd_create(2).
//
// Unlike Linux: mappings that may be written do not keep F_SEAL_WRITE from being added.
#include <fcntl.h>
#include <linux/memfd.h>

#include "fs/tmpfs/shmem.h"
#include "fs/vfs/guard.h"
#include "syscalls/text_file.h"

namespace usk::sys {
namespace {

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#define MFD_EXEC 16u
#endif
constexpr int kSealExec = 0x20;       // F_SEAL_EXEC
constexpr size_t kLongestName = 249;  // With "memfd:" in front it is a file name.

constexpr int kLargeFile = 0100000;  // O_LARGEFILE, which libc hides.

}  // namespace

Result<Ref<File>> text_file(Task& t, std::string_view text) {
  Ref<MemFile> writer = TRY(make_shmem_file("anon_inode:[policy]", 0444, t.creds));
  KernelIn in(std::as_bytes(std::span(text)));
  uint64_t pos = 0;
  TRY(static_cast<MemRegular&>(writer->inode()).write_at(in, pos, false));
  return make_ref<MemFile>(writer->path(), O_RDONLY | kLargeFile, t.creds);
}

SyscallResult memfd_create(Task& t, UserStr user_name, CloexecFlags flags) {
  TRY(flags.only(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB | MFD_NOEXEC_SEAL | MFD_EXEC));
  if (flags.has(MFD_EXEC) && flags.has(MFD_NOEXEC_SEAL)) return Err(EINVAL);
  const std::string name = TRY(t.mem().get_string(user_name, kLongestName, EINVAL));
  if (flags.has(MFD_HUGETLB)) return Err(ENOSYS);  // Linux: without huge pages.
  TRY(ask(Category::kCreate, "!memfd:" + name));
  const uint32_t mode = flags.has(MFD_NOEXEC_SEAL) ? 0666 : 0777;
  Ref<MemFile> file = TRY(make_shmem_file("/memfd:" + name + " (deleted)", mode, t.creds));
  auto& regular = static_cast<MemRegular&>(file->inode());
  if (flags.has(MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL)) regular.allow_sealing();
  if (flags.has(MFD_NOEXEC_SEAL)) TRY(regular.add_seals(kSealExec));
  return TRY(t.add_fd(std::move(file), flags.has(MFD_CLOEXEC)));
}

}  // namespace usk::sys
