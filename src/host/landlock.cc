#include "host/landlock.h"

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "host/call.h"

namespace usk::host {
namespace {

// Numbers and layouts of newer hosts than the headers may be of.
constexpr long kCreateRuleset = 444, kAddRule = 445, kRestrictSelf = 446;
constexpr uint32_t kVersion = 1;      // LANDLOCK_CREATE_RULESET_VERSION
constexpr uint32_t kPathBeneath = 1;  // LANDLOCK_RULE_PATH_BENEATH

struct RulesetAttr {
  uint64_t handled_access_fs, handled_access_net, scoped;
};
struct [[gnu::packed]] PathBeneathAttr {
  uint64_t allowed_access;
  int32_t parent_fd;
};

// LANDLOCK_ACCESS_FS_*
constexpr uint64_t kExecute = 1 << 0, kWriteFile = 1 << 1, kReadFile = 1 << 2, kReadDir = 1 << 3,
                   kRemoveDir = 1 << 4, kRemoveFile = 1 << 5, kRefer = 1 << 13, kTruncate = 1 << 14,
                   kIoctlDev = 1 << 15;
constexpr uint64_t kMakeFile = 1 << 8;
constexpr uint64_t kAllMake = 0x1fc0;  // MAKE_CHAR to MAKE_SYM
constexpr uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;

// What version n can handle; newer ones handle more of no interest here.
constexpr std::array<uint64_t, 6> kKnown = {
    0,      kExecute | kWriteFile | kReadFile | kRemoveDir | kRemoveFile | kAllMake,
    kRefer, kTruncate,
    0,      kIoctlDev,
};

uint64_t rights_of(FileRules::Access access) {
  switch (access) {
    case FileRules::kRead: return kReadFile;
    case FileRules::kUse: return kReadFile | kWriteFile | kTruncate | kIoctlDev;
    case FileRules::kChange: return ~uint64_t(kExecute | kReadDir);
    case FileRules::kKeep: return kMakeFile | kWriteFile | kRemoveFile;
    case FileRules::kRemoveDirectories: return kRemoveDir;
  }
  return 0;
}

}  // namespace

int landlock_version() {
  static const int version =
      std::max(0, int(guarded(kCreateRuleset, nullptr, size_t(0), kVersion)));
  return version;
}

Result<FileRules> FileRules::make() {
  const int version = landlock_version();
  if (version == 0) return Err(EOPNOTSUPP);
  RulesetAttr attr{};
  for (int v = 1; v <= std::min(version, 5); v++) attr.handled_access_fs |= kKnown[size_t(v)];
  if (version >= 4) attr.handled_access_net = 3;  // BIND_TCP, CONNECT_TCP
  if (version >= 6) attr.scoped = 3;              // ABSTRACT_UNIX_SOCKET, SIGNAL
  const size_t size = version >= 6 ? sizeof attr : version >= 4 ? 16 : 8;
  const long fd = guarded(kCreateRuleset, &attr, size, 0);
  if (fd < 0) return Err(errno);
  return FileRules(UniqueFd(int(fd)), attr.handled_access_fs);
}

Result<void> FileRules::allow(int fd, Access access) {
  struct stat st;
  if (guarded(SYS_fstat, fd, &st) < 0) return Err(errno);
  PathBeneathAttr rule{rights_of(access) & handled_, fd};
  if (!S_ISDIR(st.st_mode)) rule.allowed_access &= kOfFiles;
  if (rule.allowed_access == 0) return {};
  if (guarded(kAddRule, fd_.get(), kPathBeneath, &rule, 0) == 0) return {};
  if (errno == EBADFD) return {};  // Of no file system that has names.
  return Err(errno);
}

Result<void> FileRules::enforce() {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Err(errno);
  if (guarded(kRestrictSelf, fd_.get(), 0) != 0) return Err(errno);
  return {};
}

}  // namespace usk::host
