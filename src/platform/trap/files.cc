#include "platform/trap/files.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/file.h"
#include "platform/trap/layout.h"

namespace usk::platform {

StubFiles::File* StubFiles::find(HostFd& file, bool for_all) {
  const auto info = host::stat_at(file, "");
  if (!info || !S_ISREG(info->stx_mode)) return nullptr;
  const bool nobodys = info->stx_nlink == 0 || !(info->stx_mode & S_IROTH);
  if (nobodys && !for_all) return nullptr;
  const auto device = makedev(info->stx_dev_major, info->stx_dev_minor);
  const auto key = std::pair<uint64_t, uint64_t>(device, info->stx_ino);
  if (auto it = files_.find(key); it != files_.end()) return &it->second;
  if (files_.size() == USK_STUB_FILES_END - USK_STUB_FILES) return nullptr;
  const int fd = USK_STUB_FILES + int(files_.size());
  return &files_.emplace(key, File{.fd = fd}).first->second;
}

void StubFiles::installed(int fd) {
  for (auto& [key, file] : files_) {
    if (file.fd == fd) file.installed = true;
  }
}

}  // namespace usk::platform
