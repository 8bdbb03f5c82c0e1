// xattr(7): who may see and change which extended attributes.
#include <linux/capability.h>
#include <sys/xattr.h>

#include "fs/vfs/mask.h"
#include "fs/vfs/notify.h"
#include "fs/vfs/permission.h"
#include "fs/vfs/vfs_ops.h"

namespace usk::vfs {
namespace {

constexpr size_t kMaxValue = 65536;
constexpr size_t kMaxList = 65536;

enum class Space { kUser, kTrusted, kSecurity, kOther };

Space space_of(std::string_view name) {
  if (name.starts_with("user.")) return Space::kUser;
  if (name.starts_with("trusted.")) return Space::kTrusted;
  if (name.starts_with("security.")) return Space::kSecurity;
  return Space::kOther;
}

Result<void> check_name(std::string_view name) {
  if (name.empty() || name.size() > kNameMax) return Err(ERANGE);
  // A prefix that nobody serves, or one with nothing behind it.
  const Space space = space_of(name);
  if (space == Space::kOther) return Err(EOPNOTSUPP);
  if (name.back() == '.' && name.find('.') == name.size() - 1) return Err(EINVAL);
  return {};
}

Result<void> may_change(const WalkContext& ctx, const Path& place, std::string_view name) {
  TRY(check_writable(place));
  Inode& inode = place.inode();
  const Creds& c = *ctx.creds;
  switch (space_of(name)) {
    case Space::kTrusted:
      if (!c.capable_in_root(CAP_SYS_ADMIN)) return Err(EPERM);
      return {};
    case Space::kSecurity:
      if (name == "security.capability") {
        if (!capable_over(c, CAP_SETFCAP, TRY(inode.getattr()))) return Err(EPERM);
      } else if (!c.capable_in_root(CAP_SYS_ADMIN)) {
        return Err(EPERM);
      }
      return {};
    default: break;
  }
  if (!inode.is_regular() && !inode.is_dir()) return Err(EPERM);
  const Attr a = TRY(inode.getattr());
  if (inode.is_dir() && (a.mode & S_ISVTX) && !owner_or_capable(c, a)) return Err(EPERM);
  return inode.permission(kMayWrite, c);
}

// Whose attributes are shown: those of what masks it, or its own if they may be read.
Result<Path> read_from(const WalkContext& ctx, const Path& place) {
  if (Path mask = TRY(walk_to_mask(ctx, place))) return mask;
  TRY(ask(Category::kRead, place));
  return place;
}

}  // namespace

Result<std::string> getxattr(const WalkContext& ctx, const Path& place, std::string_view name) {
  TRY(check_name(name));
  const Path from = TRY(read_from(ctx, place));
  Inode& inode = from.inode();
  switch (space_of(name)) {
    case Space::kTrusted:
      if (!ctx.creds->capable_in_root(CAP_SYS_ADMIN)) return Err(ENODATA);
      break;
    case Space::kUser:
      if (!inode.is_regular() && !inode.is_dir()) return Err(ENODATA);
      TRY(inode.permission(kMayRead, *ctx.creds));
      break;
    default: break;
  }
  return inode.getxattr(name);
}

Result<void> setxattr(const WalkContext& ctx, const Path& place, std::string_view name,
                      std::string_view value, int flags) {
  if (flags & ~(XATTR_CREATE | XATTR_REPLACE)) return Err(EINVAL);
  if (value.size() > kMaxValue) return Err(E2BIG);
  TRY(check_name(name));
  TRY(ask(Category::kChattr, place));
  TRY(may_change(ctx, place, name));
  TRY(place.inode().setxattr(name, value, flags));
  notify_dentry(*place.dentry, IN_ATTRIB);
  return {};
}

Result<std::vector<std::string>> listxattr(const WalkContext& ctx, const Path& place) {
  std::vector<std::string> names = TRY(TRY(read_from(ctx, place)).inode().listxattr());
  if (!ctx.creds->capable_in_root(CAP_SYS_ADMIN)) {
    std::erase_if(names, [](const std::string& n) { return space_of(n) == Space::kTrusted; });
  }
  size_t length = 0;
  for (const auto& n : names) length += n.size() + 1;
  if (length > kMaxList) return Err(E2BIG);
  return names;
}

Result<void> removexattr(const WalkContext& ctx, const Path& place, std::string_view name) {
  TRY(check_name(name));
  TRY(ask(Category::kChattr, place));
  TRY(may_change(ctx, place, name));
  TRY(place.inode().removexattr(name));
  notify_dentry(*place.dentry, IN_ATTRIB);
  return {};
}

}  // namespace usk::vfs
