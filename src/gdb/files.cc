// Files of the guest, to be read: the program and its libraries, as the process would find them
// (packets vFile; gdb's manual, "Host I/O Packets").
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include "fs/vfs/dentry.h"
#include "fs/vfs/vfs_ops.h"
#include "gdb/server.h"

namespace usk::gdb {
namespace {

constexpr size_t kMaxFiles = 64;
constexpr size_t kPieces = kMaxPacket - 32;

// The protocol has numbers of its own for errors; these few are Linux's as well.
std::string failure(Errno code) {
  constexpr int kUnknown = 9999, kNameTooLong = 91;
  switch (int(code)) {
    case EPERM:
    case ENOENT:
    case EBADF:
    case EACCES:
    case EBUSY:
    case ENOTDIR:
    case EISDIR:
    case EINVAL:
    case EMFILE:
    case EROFS: return fmt::format("F-1,{:x}", int(code));
    case ENAMETOOLONG: return fmt::format("F-1,{:x}", kNameTooLong);
    default: return fmt::format("F-1,{:x}", kUnknown);
  }
}

void put_number(std::string& out, uint64_t value, size_t bytes) {
  while (bytes-- > 0) out += char(value >> (8 * bytes));
}

// The protocol's struct stat: big-endian, without padding.
std::string stat_bytes(const Attr& a) {
  std::string out;
  put_number(out, 0, 4);
  put_number(out, a.ino, 4);
  put_number(out, a.mode, 4);
  put_number(out, a.nlink, 4);
  put_number(out, a.uid, 4);
  put_number(out, a.gid, 4);
  put_number(out, 0, 4);
  put_number(out, a.size, 8);
  put_number(out, 4096, 8);
  put_number(out, (a.size + 511) / 512, 8);
  put_number(out, uint64_t(a.atime.tv_sec), 4);
  put_number(out, uint64_t(a.mtime.tv_sec), 4);
  put_number(out, uint64_t(a.ctime.tv_sec), 4);
  return out;
}

// Only plain files: to open others may wait, or change something.
Result<Ref<File>> open_plain(Task& t, std::string_view path) {
  const GuardPause pause;
  const WalkContext ctx = t.walk_context();
  const Path place = TRY(walk(ctx, ctx.root, path, kFollow));
  if (!S_ISREG(TRY(place.inode().getattr()).mode)) return Err(EACCES);
  return vfs::open_place(ctx, place, O_RDONLY | O_LARGEFILE);
}

Result<std::string> link_target(Task& t, std::string_view path) {
  const GuardPause pause;
  const WalkContext ctx = t.walk_context();
  const Path place = TRY(walk(ctx, ctx.root, path, 0));
  if (!S_ISLNK(TRY(place.inode().getattr()).mode)) return Err(EINVAL);
  return vfs::readlink(ctx, place);
}

// A path in hex at the front.
std::optional<std::string> take_path(std::string_view& p) {
  const size_t end = std::min(p.find(','), p.size());
  auto path = from_hex(p.substr(0, end));
  p.remove_prefix(end);
  if (!path || path->empty() || path->size() >= kPathMax || path->find('\0') != path->npos) {
    return std::nullopt;
  }
  return path;
}

}  // namespace

void GdbServer::file_request(std::string_view p) {
  if (take(p, "setfs:")) return reply("F0");
  if (take(p, "open:")) return open_file(p);
  if (take(p, "pread:")) return read_file(p);
  if (take(p, "fstat:")) return stat_file(p);
  if (take(p, "close:")) return close_file(p);
  if (take(p, "readlink:")) return read_link(p);
  reply("");
}

void GdbServer::open_file(std::string_view p) {
  const auto path = take_path(p);
  const bool first = take(p, ",");
  const auto flags = take_number(p);
  Task* t = current();
  if (!path || !first || !flags || !t) return reply(failure(Errno(EINVAL)));
  if (*flags != O_RDONLY) return reply(failure(Errno(EROFS)));
  if (files_.size() >= kMaxFiles) return reply(failure(Errno(EMFILE)));
  auto file = open_plain(*t, *path);
  if (!file) return reply(failure(file.error()));
  const int number = next_file_++;
  files_[number] = std::move(*file);
  reply(fmt::format("F{:x}", number));
}

void GdbServer::read_file(std::string_view p) {
  const auto number = take_number(p);
  const bool first = take(p, ",");
  const auto count = take_number(p);
  const bool second = take(p, ",");
  const auto offset = take_number(p);
  if (!number || !first || !count || !second || !offset || *offset > INT64_MAX) {
    return reply(failure(Errno(EINVAL)));
  }
  const auto it = files_.find(int(*number));
  if (it == files_.end()) return reply(failure(Errno(EBADF)));
  std::string bytes(std::min<uint64_t>(*count, kPieces), '\0');
  KernelOut out(std::as_writable_bytes(std::span(bytes)));
  uint64_t pos = *offset;
  const auto n = it->second->read(out, pos);
  if (!n) return reply(failure(n.error()));
  bytes.resize(*n);
  size_t taken;
  const std::string data = escape(bytes, kPieces, taken);
  reply(fmt::format("F{:x};{}", taken, data));
}

void GdbServer::stat_file(std::string_view p) {
  const auto number = take_number(p);
  const auto it = number ? files_.find(int(*number)) : files_.end();
  if (it == files_.end()) return reply(failure(Errno(EBADF)));
  const auto attr = it->second->inode().getattr();
  if (!attr) return reply(failure(attr.error()));
  const std::string bytes = stat_bytes(*attr);
  size_t taken;
  const std::string data = escape(bytes, kPieces, taken);
  reply(fmt::format("F{:x};{}", bytes.size(), data));
}

void GdbServer::close_file(std::string_view p) {
  const auto number = take_number(p);
  if (!number || !files_.erase(int(*number))) return reply(failure(Errno(EBADF)));
  reply("F0");
}

void GdbServer::read_link(std::string_view p) {
  const auto path = take_path(p);
  Task* t = current();
  if (!path || !t) return reply(failure(Errno(EINVAL)));
  const auto target = link_target(*t, *path);
  if (!target) return reply(failure(target.error()));
  size_t taken;
  const std::string data = escape(*target, kPieces, taken);
  reply(fmt::format("F{:x};{}", target->size(), data));
}

}  // namespace usk::gdb
