// xattr(7): setxattr(2), getxattr(2), listxattr(2), removexattr(2).
#include "syscalls/path_args.h"
#include "syscalls/versioned.h"

namespace usk::sys {
namespace {

constexpr uint64_t kMaxValue = 65536;

Result<std::string> get_name(Task& t, UserStr name) {
  return t.mem().get_string(name, 255, ERANGE);
}

SyscallResult set(Task& t, const Place& p, UserStr name, UserIn value, int32_t flags) {
  const std::string n = TRY(get_name(t, name));
  if (value.len > kMaxValue) return Err(E2BIG);
  std::string v(value.len, '\0');
  TRY(t.mem().copy_in(std::as_writable_bytes(std::span(v)), value.addr));
  TRY(vfs::setxattr(p.ctx, p.path, n, v, flags));
  return 0;
}

// A value or a list, into a buffer whose size may be 0 to ask how much there is.
SyscallResult put(Task& t, std::string_view bytes, UserOut buf) {
  if (buf.len == 0) return int64_t(bytes.size());
  if (bytes.size() > buf.len) return Err(ERANGE);
  TRY(t.mem().copy_out(buf.addr, std::as_bytes(std::span(bytes))));
  return int64_t(bytes.size());
}

SyscallResult get(Task& t, const Place& p, UserStr name, UserOut buf) {
  const std::string n = TRY(get_name(t, name));
  return put(t, TRY(vfs::getxattr(p.ctx, p.path, n)), buf);
}

SyscallResult list(Task& t, const Place& p, UserOut buf) {
  std::string names;
  for (const std::string& n : TRY(vfs::listxattr(p.ctx, p.path))) {
    names += n;
    names += '\0';
  }
  return put(t, names, buf);
}

SyscallResult remove(Task& t, const Place& p, UserStr name) {
  TRY(vfs::removexattr(p.ctx, p.path, TRY(get_name(t, name))));
  return 0;
}

Result<Place> by_path(Task& t, UserPath path) { return get_place(t, DirFd{AT_FDCWD}, path, 0); }
Result<Place> by_link(Task& t, UserPath path) {
  return get_place(t, DirFd{AT_FDCWD}, path, AT_SYMLINK_NOFOLLOW);
}
Result<Place> by_fd(Task& t, Fd fd) { return place_of_fd(t, fd, false); }

}  // namespace

SyscallResult setxattr(Task& t, UserPath path, UserStr name, UserIn value, int32_t flags) {
  return set(t, TRY(by_path(t, path)), name, value, flags);
}
SyscallResult lsetxattr(Task& t, UserPath path, UserStr name, UserIn value, int32_t flags) {
  return set(t, TRY(by_link(t, path)), name, value, flags);
}
SyscallResult fsetxattr(Task& t, Fd fd, UserStr name, UserIn value, int32_t flags) {
  return set(t, TRY(by_fd(t, fd)), name, value, flags);
}
SyscallResult getxattr(Task& t, UserPath path, UserStr name, UserOut buf) {
  return get(t, TRY(by_path(t, path)), name, buf);
}
SyscallResult lgetxattr(Task& t, UserPath path, UserStr name, UserOut buf) {
  return get(t, TRY(by_link(t, path)), name, buf);
}
SyscallResult fgetxattr(Task& t, Fd fd, UserStr name, UserOut buf) {
  return get(t, TRY(by_fd(t, fd)), name, buf);
}
SyscallResult listxattr(Task& t, UserPath path, UserOut buf) {
  return list(t, TRY(by_path(t, path)), buf);
}
SyscallResult llistxattr(Task& t, UserPath path, UserOut buf) {
  return list(t, TRY(by_link(t, path)), buf);
}
SyscallResult flistxattr(Task& t, Fd fd, UserOut buf) { return list(t, TRY(by_fd(t, fd)), buf); }
SyscallResult removexattr(Task& t, UserPath path, UserStr name) {
  return remove(t, TRY(by_path(t, path)), name);
}
SyscallResult lremovexattr(Task& t, UserPath path, UserStr name) {
  return remove(t, TRY(by_link(t, path)), name);
}
SyscallResult fremovexattr(Task& t, Fd fd, UserStr name) {
  return remove(t, TRY(by_fd(t, fd)), name);
}

namespace {

struct XattrArgs {  // struct xattr_args
  uint64_t value;
  uint32_t size, flags;
};
static_assert(sizeof(XattrArgs) == 16);

Result<Place> place_at(Task& t, DirFd dir, UserPath path, AtFlags flags) {
  TRY(flags.only(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
  return get_place(t, dir, path, flags.bits);
}

}  // namespace

SyscallResult setxattrat(Task& t, DirFd dir, UserPath path, AtFlags flags, UserStr name,
                         uint64_t args, uint64_t size) {
  const auto a = TRY(get_versioned<XattrArgs>(t, args, size, sizeof(XattrArgs)));
  return set(t, TRY(place_at(t, dir, path, flags)), name, UserIn{a.value, a.size},
             int32_t(a.flags));
}
SyscallResult getxattrat(Task& t, DirFd dir, UserPath path, AtFlags flags, UserStr name,
                         uint64_t args, uint64_t size) {
  const auto a = TRY(get_versioned<XattrArgs>(t, args, size, sizeof(XattrArgs)));
  if (a.flags) return Err(EINVAL);
  return get(t, TRY(place_at(t, dir, path, flags)), name, UserOut{a.value, a.size});
}
SyscallResult listxattrat(Task& t, DirFd dir, UserPath path, AtFlags flags, UserOut buf) {
  return list(t, TRY(place_at(t, dir, path, flags)), buf);
}
SyscallResult removexattrat(Task& t, DirFd dir, UserPath path, AtFlags flags, UserStr name) {
  return remove(t, TRY(place_at(t, dir, path, flags)), name);
}

}  // namespace usk::sys
