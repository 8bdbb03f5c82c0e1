// tmpfs(5)
#pragma once
#include <string_view>

#include "fs/mem/mem_fs.h"
#include "fs/vfs/mount.h"

namespace usk {

struct TmpfsOptions {
  uint64_t size_bytes = 0;  // 0: half of the host's memory, as Linux.
  uint64_t max_inodes = 0;  // 0: one for each page of half the memory; UINT64_MAX: no limit.
  uint32_t mode = 01777;
  Uid uid = 0;
  Gid gid = 0;
  // Parses "size=64k,nr_inodes=100,mode=755,uid=1,gid=2" (k, m, g, %); EINVAL. Ids are those of
  // `ns`.
  static Result<TmpfsOptions> parse(std::string_view text, const UserNamespace& ns);
};

class Tmpfs final : public MemFs {
 public:
  Tmpfs(const TmpfsOptions& options, Ref<MemQuota> quota);
  explicit Tmpfs(Blank b) : MemFs(b) {}
  std::string options() const override;
  Result<void> remount(std::string_view options) override;
  USK_FIELDS_OF(MemFs, shown_)

 private:
  std::string shown_;  // mode, uid and gid as given.
};

// A fresh tmpfs; `above` is a quota that its memory counts against too.
Result<FsTree> make_tmpfs(const TmpfsOptions& options, Ref<MemQuota> above = {});

}  // namespace usk
