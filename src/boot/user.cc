#include "boot/user.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "fs/vfs/vfs_ops.h"

namespace usk {
namespace {

constexpr size_t kMaxDatabase = 4 << 20;

std::string read_file(const WalkContext& ctx, const std::string& path) {
  std::string out;
  auto file = vfs::open(ctx, ctx.root, path, {.flags = O_RDONLY});
  if (!file) return out;
  char buf[4096];
  for (uint64_t pos = 0; out.size() < kMaxDatabase;) {
    KernelOut dst(std::as_writable_bytes(std::span(buf)));
    auto n = (*file)->read(dst, pos);
    if (!n || *n == 0) break;
    out.append(buf, *n);
  }
  return out;
}

std::optional<uint32_t> number(std::string_view s) {
  uint32_t n = 0;
  auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (s.empty() || error != std::errc() || end != s.data() + s.size()) return std::nullopt;
  return n;
}

std::vector<std::string_view> split(std::string_view s, char by) {
  std::vector<std::string_view> out;
  for (;;) {
    const size_t at = s.find(by);
    out.push_back(s.substr(0, at));
    if (at == s.npos) return out;
    s.remove_prefix(at + 1);
  }
}

// The fields of the line whose field `index` is `value`.
std::optional<std::vector<std::string_view>> find_line(std::string_view database, size_t index,
                                                       std::string_view value) {
  for (std::string_view line : split(database, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() > std::max<size_t>(index, 3) && fields[index] == value) return fields;
  }
  return std::nullopt;
}

}  // namespace

OrFailure<Ref<const Creds>> user_creds(const WalkContext& root, const std::string& user) {
  if (user.empty()) return root.creds;
  const size_t colon = user.find(':');
  const std::string name = user.substr(0, colon);
  const std::string group = colon == user.npos ? "" : user.substr(colon + 1);
  const std::string passwd = read_file(root, "/etc/passwd");
  const std::string groups = read_file(root, "/etc/group");
  Ref<Creds> c = root.creds->clone();
  auto uid = number(name);
  const auto line = uid ? find_line(passwd, 2, name) : find_line(passwd, 0, name);
  if (!uid && line) uid = number((*line)[2]);
  if (!uid) return fail(fmt::format("--user={}: the sandbox's /etc/passwd has no {}", user, name));
  std::optional<uint32_t> gid = line ? number((*line)[3]) : *uid;
  if (!group.empty()) {
    gid = number(group);
    if (const auto found = find_line(groups, 0, group); !gid && found) gid = number((*found)[2]);
  }
  if (!gid) return fail(fmt::format("--user={}: the sandbox's /etc/group has no {}", user, group));
  if (line && group.empty()) {
    for (std::string_view entry : split(groups, '\n')) {
      const auto fields = split(entry, ':');
      if (fields.size() < 4) continue;
      for (std::string_view member : split(fields[3], ',')) {
        if (member != (*line)[0]) continue;
        if (auto id = number(fields[2])) c->groups.push_back(*id);
      }
    }
  }
  c->uid = c->euid = c->suid = c->fsuid = *uid;
  c->gid = c->egid = c->sgid = c->fsgid = *gid;
  if (*uid != 0) c->permitted = c->effective = c->inheritable = c->ambient = 0;
  return Ref<const Creds>(c);
}

std::string user_home(const WalkContext& root, const std::string& user) {
  const std::string name = user.empty() ? "0" : user.substr(0, user.find(':'));
  const std::string passwd = read_file(root, "/etc/passwd");
  const auto line = find_line(passwd, number(name) ? 2 : 0, name);
  if (!line || line->size() < 6 || (*line)[5].empty()) return name == "0" ? "/root" : "/";
  return std::string((*line)[5]);
}

}  // namespace usk
