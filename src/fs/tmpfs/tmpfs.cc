#include "fs/tmpfs/tmpfs.h"

#include <fmt/format.h>
#include <linux/magic.h>

#include "fs/mem/mem_dir.h"
#include "fs/vfs/option_list.h"
#include "fs/vfs/saving.h"
#include "host/memory_size.h"

namespace usk {

USK_SAVED(Tmpfs, "fs/tmpfs/tmpfs")
namespace {

// Linux's memparse(): a number and k, m, g, t; "%" of memory where that makes sense.
Result<uint64_t> size_value(std::string_view s, bool percent) {
  auto v = leading_number(s, 10);
  if (!v) return Err(EINVAL);
  if (percent && s == "%") return host::physical_memory() / 100 * std::min<uint64_t>(*v, 100);
  int shift = 0;
  if (s == "k" || s == "K") shift = 10;
  if (s == "m" || s == "M") shift = 20;
  if (s == "g" || s == "G") shift = 30;
  if (s == "t" || s == "T") shift = 40;
  if ((!s.empty() && !shift) || *v > (UINT64_MAX >> shift)) return Err(EINVAL);
  return *v << shift;
}

Result<void> apply(TmpfsOptions& o, std::string_view key, std::string_view value,
                   const UserNamespace& ns) {
  if (key == "size") {
    o.size_bytes = TRY(size_value(value, true));
    if (o.size_bytes == 0) o.size_bytes = UINT64_MAX;
  } else if (key == "nr_blocks") {
    o.size_bytes = TRY(size_value(value, false));
    o.size_bytes =
        o.size_bytes && o.size_bytes < (UINT64_MAX >> 12) ? o.size_bytes << 12 : UINT64_MAX;
  } else if (key == "nr_inodes") {
    o.max_inodes = TRY(size_value(value, false));
    if (o.max_inodes == 0) o.max_inodes = UINT64_MAX;
  } else if (key == "mode") {
    o.mode = TRY(option_number(value, 8)) & 07777;
  } else if (key == "uid") {
    auto id = ns.uid_in(TRY(option_number(value, 10)));
    if (!id) return Err(EINVAL);
    o.uid = *id;
  } else if (key == "gid") {
    auto id = ns.gid_in(TRY(option_number(value, 10)));
    if (!id) return Err(EINVAL);
    o.gid = *id;
  } else if (key != "huge" && key != "mpol" && key != "inode64" && key != "inode32") {
    return Err(EINVAL);
  }
  return {};
}

uint64_t page_limit(const TmpfsOptions& o) {
  if (o.size_bytes == UINT64_MAX) return 0;
  return o.size_bytes ? (o.size_bytes + 4095) / 4096 : host::physical_memory() / 2 / 4096;
}

uint64_t inode_limit(const TmpfsOptions& o) {
  if (o.max_inodes == UINT64_MAX) return 0;
  return o.max_inodes ? o.max_inodes : host::physical_memory() / 2 / 4096;
}

}  // namespace

Result<TmpfsOptions> TmpfsOptions::parse(std::string_view text, const UserNamespace& ns) {
  TmpfsOptions o;
  TRY(for_each_option(text, [&](std::string_view key, std::string_view value) {
    return apply(o, key, value, ns);
  }));
  return o;
}

Tmpfs::Tmpfs(const TmpfsOptions& o, Ref<MemQuota> quota)
    : MemFs("tmpfs", TMPFS_MAGIC, std::move(quota)) {
  if (o.mode != 01777) shown_ += fmt::format(",mode={:o}", o.mode);
  if (o.uid) shown_ += fmt::format(",uid={}", o.uid);
  if (o.gid) shown_ += fmt::format(",gid={}", o.gid);
}

std::string Tmpfs::options() const {
  std::string out;
  if (const uint64_t pages = quota()->max_pages();
      pages && pages != host::physical_memory() / 2 / 4096) {
    out += fmt::format(",size={}k", pages * 4);
  }
  if (const uint64_t inodes = quota()->max_inodes();
      inodes && inodes != host::physical_memory() / 2 / 4096) {
    out += fmt::format(",nr_inodes={}", inodes);
  }
  return out + shown_;
}

Result<void> Tmpfs::remount(std::string_view text) {
  static const Ref<UserNamespace> ids = UserNamespace::make_initial();
  const TmpfsOptions o = TRY(TmpfsOptions::parse(text, *ids));
  const uint64_t pages = o.size_bytes ? page_limit(o) : quota()->max_pages();
  const uint64_t inodes = o.max_inodes ? inode_limit(o) : quota()->max_inodes();
  if (!quota()->set_limits(pages, inodes)) return Err(EINVAL);
  return {};
}

Result<FsTree> make_tmpfs(const TmpfsOptions& o, Ref<MemQuota> above) {
  auto quota = make_ref<MemQuota>(page_limit(o), inode_limit(o), std::move(above));
  auto fs = make_ref<Tmpfs>(o, std::move(quota));
  Ref<MemInode> root = TRY(fs->make_node({.mode = S_IFDIR | o.mode, .uid = o.uid, .gid = o.gid}));
  root->change_links(2);
  return FsTree{fs, Dentry::make_root(root)};
}

}  // namespace usk
