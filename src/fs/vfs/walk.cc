#include "fs/vfs/walk.h"

#include "fs/vfs/inode.h"

namespace usk {

FsSysctls& fs_sysctls() {
  static FsSysctls s;
  return s;
}

Result<void> Walker::start(const Path& at, std::string_view path) {
  if (path.size() >= kPathMax) return Err(ENAMETOOLONG);
  if (path.empty()) return Err(ENOENT);
  if (flags_ & (kBeneath | kInRoot)) scoped_root_ = at;
  if (path.front() == '/') {
    if (flags_ & kBeneath) return Err(EXDEV);
    at_ = root();
  } else {
    at_ = at;
  }
  rest_ = path;
  offset_ = 0;
  return {};
}

Result<void> Walker::to_last(const Path& at, std::string_view path) {
  TRY(start(at, path));
  return run();
}

Result<void> Walker::check_search() const {
  Inode& dir = at_.inode();
  if (!dir.is_dir()) return Err(ENOTDIR);
  return dir.permission(kMayExec, *ctx_.creds);
}

// Takes components off rest_ until one is left, which becomes last_.
Result<void> Walker::run() {
  const bool slash_before = last_.trailing_slash;
  last_.kind = LastComponent::Kind::kName;
  last_.trailing_slash = false;
  while (true) {
    offset_ = rest_.find_first_not_of('/', offset_);
    if (offset_ == rest_.npos) {  // Only slashes: the root itself.
      last_.kind = LastComponent::Kind::kRoot;
      last_.trailing_slash = true;
      break;
    }
    const size_t end = std::min(rest_.find('/', offset_), rest_.size());
    const std::string_view name = rest_.substr(offset_, end - offset_);
    offset_ = end;
    TRY(check_search());
    if (rest_.find_first_not_of('/', end) == rest_.npos) {
      last_.kind = name == "."    ? LastComponent::Kind::kDot
                   : name == ".." ? LastComponent::Kind::kDotDot
                                  : LastComponent::Kind::kName;
      last_.name = name;
      last_.trailing_slash = end < rest_.size();
      break;
    }
    TRY(component(name));
  }
  last_.trailing_slash |= slash_before;
  return {};
}

Result<void> Walker::component(std::string_view name) {
  if (name == ".") return {};
  if (name == "..") return dot_dot();
  TRY(ask(Category::kWalk, at_, name));
  Ref<Dentry> found = TRY(child(name));
  if (found->is_negative()) return Err(ENOENT);
  if (found->inode()->is_symlink() && !found->is_mountpoint()) {
    return follow(Path(at_.mount, std::move(found)), /*last=*/false);
  }
  if (found->is_mountpoint()) {
    at_ = TRY(step(at_, std::move(found)));
  } else {
    at_.dentry = std::move(found);
  }
  return {};
}

Result<Ref<Dentry>> Walker::child(std::string_view name) const {
  if (name.size() > kNameMax) return Err(ENAMETOOLONG);
  if (flags_ & kCachedOnly) {
    Ref<Dentry> hit = at_.dentry->cached(name);
    if (!hit) return Err(EAGAIN);
    return hit;
  }
  return at_.dentry->lookup(name);
}

Result<Path> Walker::step(const Path& dir, Ref<Dentry> child) {
  if (child->is_negative()) return Err(ENOENT);
  if (!child->is_mountpoint()) return Path(dir.mount, std::move(child));
  Path top = top_of(Path(dir.mount, std::move(child)));
  if ((flags_ & kNoXdev) && top.mount != dir.mount) return Err(EXDEV);
  return top;
}

Result<void> Walker::dot_dot() {
  if (installed_guard && installed_guard->denies_dot_dot()) return Err(EACCES);
  Path at = at_;
  while (true) {
    if (at == root()) {
      if (flags_ & kBeneath) return Err(EXDEV);
      at_ = std::move(at);
      return {};
    }
    if (at.dentry != at.mount->root()) break;
    Path place = at.mount->mountpoint();
    if (!place) {  // The top of the tree, above our root (or of a detached mount).
      at_ = std::move(at);
      return {};
    }
    if (flags_ & kNoXdev) return Err(EXDEV);
    at = std::move(place);
  }
  Ref<Dentry> parent = at.dentry->parent();
  if (!parent) return Err(ENOENT);
  // A directory that was renamed out of what a bind mount shows has no way up.
  if (!at.mount->root()->is_root() && !parent->is_below_or_same(*at.mount->root())) {
    return Err(ENOENT);
  }
  at_ = TRY(step(at, std::move(parent)));
  return {};
}

Result<void> Walker::jump_to_root() {
  if (flags_ & kBeneath) return Err(EXDEV);
  if ((flags_ & kNoXdev) && root().mount != at_.mount) return Err(EXDEV);
  at_ = root();
  return {};
}

namespace {

// protected_symlinks (proc_sys_fs(5)): in a sticky, world-writable directory only one's own
// links, and those of the directory's owner, are followed.
Result<void> check_protected_link(const WalkContext& ctx, Inode& link, Inode& dir) {
  if (!fs_sysctls().protected_symlinks) return {};
  const Attr a = TRY(link.getattr());
  if (a.uid == ctx.creds->fsuid) return {};
  const Attr d = TRY(dir.getattr());
  if ((d.mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH)) return {};
  if (d.uid == a.uid) return {};
  return Err(EACCES);
}

}  // namespace

Result<void> Walker::follow(const Path& link, bool last) {
  if (++links_ > kMaxLinks) return Err(ELOOP);
  if (flags_ & kNoSymlinks || link.mount->has(MS_NOSYMFOLLOW)) return Err(ELOOP);
  Inode& inode = link.inode();
  if (last) TRY(check_protected_link(ctx_, inode, at_.inode()));
  if (installed_guard) TRY(installed_guard->follow(link, at_.inode()));
  if (inode.is_magic_link()) {
    if (flags_ & kNoMagicLinks) return Err(ELOOP);
    Path goal = TRY(inode.follow_magic(ctx_));
    if (scoped_root_) return Err(EXDEV);
    if ((flags_ & kNoXdev) && goal.mount != at_.mount) return Err(EXDEV);
    at_ = goal;
    if (last) arrived_ = std::move(goal);
    return {};
  }
  std::string target = TRY(inode.readlink());
  if (target.empty()) return Err(ENOENT);
  if (target.front() == '/') TRY(jump_to_root());
  if (!last) target.append(rest_.substr(offset_));
  link_ = std::move(target);
  rest_ = link_;
  offset_ = 0;
  return {};
}

Result<void> Walker::through_link(const Path& link) {
  arrived_ = {};
  TRY(follow(link, /*last=*/true));
  if (arrived_) return {};
  return run();
}

Result<Path> Walker::finish() {
  while (true) {
    Path place;
    switch (last_.kind) {
      case LastComponent::Kind::kRoot:
      case LastComponent::Kind::kDot: place = at_; break;
      case LastComponent::Kind::kDotDot:
        TRY(dot_dot());
        place = at_;
        break;
      case LastComponent::Kind::kName: {
        TRY(ask(Category::kWalk, at_, last_.name));
        Ref<Dentry> found = TRY(child(last_.name));
        if (found->is_negative()) return Err(ENOENT);
        const bool follows = (flags_ & kFollow) || last_.trailing_slash;
        if (found->inode()->is_symlink() && follows && !found->is_mountpoint()) {
          TRY(through_link(Path(at_.mount, std::move(found))));
          if (!arrived_) continue;
          place = arrived_;
          break;
        }
        if (found->is_mountpoint()) {
          place = TRY(step(at_, std::move(found)));
        } else {
          place = Path(at_.mount, std::move(found));
        }
      }
    }
    const bool want_dir = (flags_ & kWantDirectory) || last_.trailing_slash;
    if (want_dir && !place.inode().is_dir()) return Err(ENOTDIR);
    return place;
  }
}

Result<Path> walk(const WalkContext& ctx, const Path& at, std::string_view path, uint32_t flags) {
  if (path.empty() && (flags & kEmptyPath)) return at;
  Walker w(ctx, flags);
  TRY(w.to_last(at, path));
  return w.finish();
}

Result<LastComponent> walk_parent(const WalkContext& ctx, const Path& at, std::string_view path,
                                  uint32_t flags) {
  Walker w(ctx, flags);
  TRY(w.to_last(at, path));
  LastComponent& last = w.last();
  if (last.kind == LastComponent::Kind::kName && last.name.size() > kNameMax) {
    return Err(ENAMETOOLONG);
  }
  return std::move(last);
}

}  // namespace usk
