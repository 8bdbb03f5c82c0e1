// Opening, moving and listing files; masks and files that only grow.
#include <fmt/format.h>
#include <sys/ioctl.h>

#include "enforce/call.h"
#include "enforce/enforcer.h"
#include "enforce/names.h"
#include "fs/vfs/mount.h"

namespace usk {

using policy::Action;
using policy::Option;

namespace {

// Those that an open may ask for, in the order in which they are asked.
constexpr Category kOpening[] = {Category::kReaddir, Category::kRead, Category::kWrite,
                                 Category::kTruncate};
bool opening_asks(Category c, int flags, const Inode& inode) {
  if (inode.is_dir()) return c == Category::kReaddir;
  const int mode = flags & O_ACCMODE;
  switch (c) {
    case Category::kRead: return mode != O_WRONLY;
    case Category::kWrite: return mode != O_RDONLY;
    case Category::kTruncate: return (flags & O_TRUNC) && inode.is_regular();
    default: return false;
  }
}

policy::FileKind kind_of_file(const Inode& inode) {
  using enum policy::FileKind;
  switch (inode.type()) {
    case S_IFDIR: return kDirectory;
    case S_IFLNK: return kSymlink;
    case S_IFIFO: return kFifo;
    case S_IFSOCK: return kSocket;
    case S_IFBLK: return kBlock;
    case S_IFCHR: return kCharacter;
    default: return kRegular;
  }
}

}  // namespace

// What is masked is not changed; what only grows is not taken away, moved or cut.
Result<void> Enforcer::check_marks(Category what, std::string_view name) {
  if (!has_marks_ || !changes_names(what)) return {};
  const policy::Rule* rule;
  Verdict v;
  int error = 0;
  {
    Lock lock(mu_);
    rule = book_->mark(Category::kMask, name);
    const bool grows =
        what == Category::kDelete || what == Category::kRename || what == Category::kTruncate;
    if (!rule && grows) {
      rule = book_->mark(Category::kAppend, name);
      error = EPERM;
    }
    if (!rule) return {};
    v = {Action::kDeny, rule->text, rule->source.text()};
  }
  return refuse({what, name, {}, error}, v);
}

std::optional<std::string> Enforcer::mask_of(const Path& place) {
  if (!has_marks_ || place.dentry->is_anonymous()) return std::nullopt;
  NameBuffer room;
  const auto name = PathText::name(place, {}, room);
  if (!name) return std::nullopt;
  Lock lock(mu_);
  return mask_locked(*name, place.inode().is_dir());
}

std::optional<std::string> Enforcer::mask_locked(std::string_view name, bool directory) {
  const policy::Rule* mask = book_->mark(Category::kMask, name);
  if (!mask) return std::nullopt;
  return directory && !mask->directory.empty() ? mask->directory : mask->file;
}

Result<Guard::Opened> Enforcer::open(const Path& place, int flags, bool created) {
  Opened out;
  if (place.dentry->is_anonymous()) return out;
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(place, {}, room));
  Inode& inode = place.inode();
  if (has_marks_) {
    Lock lock(mu_);
    out.append_only = inode.is_regular() && book_->mark(Category::kAppend, name);
    out.mask = mask_locked(name, inode.is_dir());
  }
  if (created || out.mask) return out;
  const bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
  if (writes && option(Option::kForceRoOpen)) {
    TRY(refuse_option(Option::kForceRoOpen, name, EACCES));
  }
  if (writes && option(Option::kForceWxOpen) && inode.is_regular()) {
    if (TRY(inode.getattr()).mode & 0111) TRY(refuse_option(Option::kForceWxOpen, name, EACCES));
  }
  if (wants(Category::kFs)) TRY(check_file_system(place, name));
  for (Category c : kOpening) {
    if (!opening_asks(c, flags, inode)) continue;
    if (out.append_only && c == Category::kTruncate) continue;  // O_TRUNC is left out.
    if (wants(c)) TRY(judge(c, name));
  }
  return out;
}

// lock/ioctl: devices. What only changes the descriptor is free, as with Landlock.
Result<void> Enforcer::check_lock_ioctl(const File& file, uint32_t command) {
  const uint32_t type = file.inode().type();
  if ((type != S_IFCHR && type != S_IFBLK) || file.path().dentry->is_anonymous()) return {};
  for (const uint32_t free : {FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, FIOQSIZE}) {
    if (command == free) return {};
  }
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(file.path(), {}, room));
  {
    Lock lock(mu_);
    if (book_->lock_allows(Category::kLockIoctl, name)) return {};
  }
  return refuse({Category::kLockIoctl, name, {}, EACCES}, {Action::kDeny, "", ""});
}

Result<void> Enforcer::check_file_system(const Path& place, std::string_view name) {
  if (!place.mount) return {};
  Verdict v;
  {
    Lock lock(mu_);
    const policy::Decision d = book_->by_file_system(place.mount->fs().type());
    if (d.action == Action::kAllow) return {};
    v = copy(d);
  }
  return refuse({Category::kFs, place.mount->fs().type(), {}, EACCES}, v);
}

Result<void> Enforcer::open_new(const Path& dir, std::string_view last, int flags) {
  TRY(entry(Category::kCreate, dir, last));
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(dir, last, room));
  if (option(Option::kForceRoOpen)) TRY(refuse_option(Option::kForceRoOpen, name, EACCES));
  if (wants(Category::kFs)) TRY(check_file_system(dir, name));
  const int mode = flags & O_ACCMODE;
  if (mode != O_WRONLY && wants(Category::kRead)) TRY(judge(Category::kRead, name));
  if (mode != O_RDONLY && wants(Category::kWrite)) TRY(judge(Category::kWrite, name));
  return {};
}

Result<void> Enforcer::move(const Path& from, const Path& dir, std::string_view last, bool leaves) {
  NameBuffer room, other_room;
  const std::string_view name = TRY(PathText::name(from, {}, room));
  const std::string_view to = TRY(PathText::name(dir, last, other_room));
  TRY(check_marks(Category::kRename, name));
  policy::RuleBook::Move move{kind_of_file(from.inode()), leaves, {}};
  const Ref<Dentry> there = TRY(dir.dentry->lookup(last));
  if (!there->is_negative()) move.replaces = kind_of_file(*there->inode());
  std::optional<Category> against;
  {
    Lock lock(mu_);
    against = book_->lock_against_move(name, to, move);
  }
  if (against) {
    // As Landlock: who may not have it elsewhere can copy.
    const int error = against == Category::kLockRename ? EXDEV : EACCES;
    TRY(refuse({*against, to, {}, error}, {Action::kDeny, "", ""}));
  }
  {
    Lock lock(mu_);
    if (book_->may_move(name, to, from.inode().is_dir())) return {};
  }
  const std::string object = fmt::format("{} to {}", name, to);
  return refuse({Category::kRename, object, "rename to where more is allowed", EXDEV},
                {Action::kDeny, "", ""});
}

bool Enforcer::lists(const Path& dir, std::string_view last) {
  if (!wants(Category::kList)) return true;
  NameBuffer room;
  const auto name = PathText::name(dir, last, room);
  if (!name) return false;
  Lock lock(mu_);
  return options_.warn_only || allows(book_->by_name(Category::kList, *name).action);
}

}  // namespace usk
