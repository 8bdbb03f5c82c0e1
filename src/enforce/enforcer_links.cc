// Links and files that others may have put in the way: syd(7), "Trusted Symbolic Links" and on.
#include "enforce/call.h"
#include "enforce/enforcer.h"
#include "enforce/names.h"
#include "fs/vfs/permission.h"

namespace usk {

using policy::Option;

Result<void> Enforcer::refuse_place(Option option, const Path& place, int error) {
  NameBuffer room;
  return refuse_option(option, TRY(PathText::name(place, {}, room)), error);
}

// Where others may put links, nobody is led by one.
Result<void> Enforcer::follow(const Path& link, Inode& dir) {
  if (option(Option::kUnsafeSymlinks) || link.inode().is_magic_link()) return {};
  const Attr a = TRY(dir.getattr());
  if (!(a.mode & (S_ISVTX | S_IWGRP | S_IWOTH))) return {};
  return refuse_place(Option::kUnsafeSymlinks, link, EACCES);
}

// Unlike protected_hardlinks: whoever owns it.
Result<void> Enforcer::link_target(const Path& target) {
  if (option(Option::kUnsafeHardlinks) || !CurrentCall::now) return {};
  Inode& inode = target.inode();
  const Attr a = TRY(inode.getattr());
  const bool plain = S_ISREG(a.mode) && !(a.mode & S_ISUID) &&
                     (a.mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP);
  const Creds& creds = *CurrentCall::now->task.creds;
  if (plain && inode.permission(kMayRead | kMayWrite, creds)) return {};
  return refuse_place(Option::kUnsafeHardlinks, target, EPERM);
}

// Unlike protected_regular and protected_fifos: in whatever directory; and no link is followed.
Result<void> Enforcer::create_over(const Path& found) {
  if (option(Option::kUnsafeCreate) || !CurrentCall::now) return {};
  Inode& inode = found.inode();
  if (inode.is_symlink()) return refuse_place(Option::kUnsafeCreate, found, ELOOP);
  if (!inode.is_regular() && inode.type() != S_IFIFO) return {};
  const Attr a = TRY(inode.getattr());
  if (a.uid == CurrentCall::now->task.creds->fsuid && !(a.mode & (S_IWGRP | S_IWOTH))) return {};
  return refuse_place(Option::kUnsafeCreate, found, EACCES);
}

}  // namespace usk
