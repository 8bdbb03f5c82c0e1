// How the host's files are found again: by their names beneath the directory that is shown, on the
// same host or another.
#include <sys/sysmacros.h>

#include <cstring>

#include "fs/hostfs/host_file.h"
#include "fs/vfs/saving.h"
#include "host/open.h"
#include "state/image/checksum.h"
#include "state/image/contents.h"

namespace usk {

USK_SAVED(HostFs, "fs/hostfs/hostfs")
USK_SAVED(HostInode, "fs/hostfs/inode")
USK_SAVED(HostFile, "fs/hostfs/file")
USK_SAVED(HostDirFile, "fs/hostfs/dir-file")

namespace {

std::string reason(Errno e) { return strerror(int(e)); }

// Deeper than any path on a host leads.
constexpr size_t kMaxDepth = 1 << 16;

}  // namespace

OrFailure<void> HostFs::find_path() {
  const auto path = host::path_of(root_->get());
  if (!path) return fail("a directory of the host: " + reason(path.error()));
  path_ = *path;
  return {};
}

OrFailure<void> HostFs::restored(state::Restored& r) {
  std::string path = path_;
  if (const auto* changes = r.find<HostChanges>()) {
    if (auto moved = changes->moved.find(path); moved != changes->moved.end()) path = moved->second;
  }
  auto root = host::open_dir(path);
  if (!root) return fail(fmt::format("{}: {}", path, reason(root.error())));
  root_ = *root;
  path_ = path;
  return {};
}

// A file that is open and has no name any more is kept with its contents.
OrFailure<void> HostInode::save(std::optional<uint64_t>& contents, state::Services& services) {
  Ref<HostFd> open;
  bool named;
  {
    Lock lock(mu_);
    named = !nameless_;
    open = named ? open_fd_ : nameless_;
  }
  if (!host_fs().stable() && open) {
    const auto at = place();
    const auto st = at ? host::stat_at(*at->dir, at->name) : Err(at.error());
    if (!named || !st || !is(*st)) {
      contents = TRY(services.get<state::ContentsWriter>())->keep(open);
    }
  }
  hash_ = services.find<HostHashes>() && is_regular() && !contents ? hash() : "";
  // Of a changing tree, what is to be found again is what is there now. ESTALE: it is gone, which
  // whoever uses it learns here and there.
  (void)getattr();
  return {};
}

std::string HostInode::hash() {
  const auto fd = open_host(O_RDONLY);
  if (!fd) return {};
  state::Checksum checksum;
  std::vector<std::byte> buffer(256 << 10);
  for (uint64_t at = 0;;) {
    const auto n = host::pread(**fd, buffer, at);
    if (!n) return {};
    if (*n == 0) return state::Checksum::text(checksum.value());
    checksum.add(std::span(buffer).first(*n));
    at += *n;
  }
}

OrFailure<void> HostInode::load(uint64_t contents, state::Services& services) {
  Ref<HostFd> file = TRY(TRY(services.get<state::ContentsReader>())->file(contents));
  Lock lock(mu_);
  nameless_ = std::move(file);
  return {};
}

std::string HostInode::shown_path() {
  std::string path;
  for (HostInode* at = this; at && at->parent_; at = at->parent_.get()) {
    path = "/" + at->name_ + path;
    if (path.size() > 4096) break;
  }
  return host_fs().host_path() + path;
}

OrFailure<void> HostInode::restored(state::Restored& r) {
  TRY(Inode::restored(r));
  TRY(check_is<HostFs>(fs()));
  const auto* changes = r.find<HostChanges>();
  std::vector<HostInode*> chain;
  for (HostInode* at = this; at && !at->found_; at = at->parent_.get()) {
    if (chain.size() > kMaxDepth) return fail("a directory within itself");
    if (at->parent_ && (&at->parent_->fs() != &fs() || !at->parent_->is_dir())) {
      return fail("a file in no directory");
    }
    chain.push_back(at);
  }
  for (; !chain.empty(); chain.pop_back()) {
    TRY(chain.back()->find_again(changes && changes->allow_changed));
  }
  return {};
}

// The directory it stands in was found. Only files of bytes are compared: what else can have
// changed shows where it is used.
OrFailure<void> HostInode::find_again(bool allow_changed) {
  HostFs& hfs = host_fs();
  found_ = true;
  Ref<HostFd> kept;
  Attr before;
  {
    Lock lock(mu_);
    kept = nameless_;
    before = attr_;
  }
  if (!kept && (name_.find('/') != name_.npos || (parent_ && name_.empty()) || name_ == "..")) {
    return fail("a name that cannot be");
  }
  const auto at = kept ? Place{kept, ""} : place();
  const auto st = at ? host::stat_at(*at->dir, at->name) : Err(at.error());
  if (!st) return fail(fmt::format("{}: {}", shown_path(), reason(st.error())));
  if ((st->stx_mode & S_IFMT) != type()) {
    return fail(shown_path() + ": it is of another kind than it was");
  }
  const Attr now = to_attr(*st);
  const bool same = now.size == before.size && now.mtime.tv_sec == before.mtime.tv_sec &&
                    now.mtime.tv_nsec == before.mtime.tv_nsec;
  host_dev_ = uint64_t(st->stx_dev_major) << 32 | st->stx_dev_minor;
  host_ino_ = st->stx_ino;
  born_ = st->stx_btime;
  const std::string hashed = std::exchange(hash_, {});
  const bool same_bytes = hashed.empty() ? same : now.size == before.size && hash() == hashed;
  if (is_regular() && !kept && !same_bytes && !allow_changed) {
    return fail(shown_path() + ": it has changed since");
  }
  if (kept) {
    // As the file was; the time of the last change of its attributes cannot be given back.
    (void)host::chmod_fd(*kept, before.mode & 07777);
    (void)host::utimens_fd(*kept, {before.atime, before.mtime});
  } else if (!same && (is_regular() || !hfs.stable())) {
    update(*st);
  }
  Lock lock(hfs.mu_);
  const uint64_t id = HostFs::key(host_dev_, host_ino_);
  if (!hfs.inodes_.find(id)) hfs.inodes_.set(id, this);
  return {};
}

OrFailure<void> HostFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  TRY(check_inode<HostInode>(*this));
  const int access = flags() & O_ACCMODE;
  auto fd = node().open_host(access == O_ACCMODE ? O_RDONLY : access);
  if (!fd) return fail(fmt::format("{}: {}", path().dentry->name(), reason(fd.error())));
  fd_ = *fd;
  node().opened(fd_);
  return {};
}

OrFailure<void> HostDirFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return check_inode<HostInode>(*this);
}

}  // namespace usk
