// /proc/PID/mounts and /proc/PID/mountinfo: proc_pid_mounts(5), proc_pid_mountinfo(5).
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "fs/vfs/mount.h"

namespace usk {
namespace {

// Space, tab, newline, backslash and '#' as octal.
std::string escape(std::string_view s) {
  std::string out;
  for (char c : s) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#') {
      out += fmt::format("\\{:03o}", unsigned(c));
    } else {
      out += c;
    }
  }
  return out;
}

std::string mount_options(const Mount& m) {
  static constexpr struct {
    unsigned long flag;
    const char* name;
  } kNames[] = {{MS_NOSUID, ",nosuid"},          {MS_NODEV, ",nodev"},
                {MS_NOEXEC, ",noexec"},          {MS_NOATIME, ",noatime"},
                {MS_NODIRATIME, ",nodiratime"},  {MS_RELATIME, ",relatime"},
                {MS_NOSYMFOLLOW, ",nosymfollow"}};
  std::string out = m.has(MS_RDONLY) ? "ro" : "rw";
  for (const auto& n : kNames) {
    if (m.has(n.flag)) out += n.name;
  }
  return out;
}

// The optional fields.
std::string propagation_fields(const Mount::Propagation& p) {
  std::string out;
  if (p.peers) out += fmt::format(" shared:{}", p.peers);
  if (p.master) out += fmt::format(" master:{}", p.master);
  if (p.master && p.from && p.from != p.master) out += fmt::format(" propagate_from:{}", p.from);
  if (p.unbindable) out += " unbindable";
  return out;
}

// Where the mount stands as seen from `root`; nothing when it cannot be reached from there.
std::string place_of(const Ref<Mount>& m, const Path& root) {
  if (m == root.mount) return "/";  // As chroot shows it.
  const PathText text = PathText::of(Path(m, m->root()), root);
  return text.reachable && !text.too_long ? text.text : std::string();
}

}  // namespace

std::string MountNamespace::mounts_text(const Path& root) const {
  std::string out;
  for (const auto& m : list()) {
    const std::string place = place_of(m, root);
    if (place.empty()) continue;
    std::string options = mount_options(*m);
    if (m->fs().read_only()) options.replace(0, 2, "ro");
    out += fmt::format("{} {} {} {}{} 0 0\n", escape(m->source()), escape(place), m->fs().type(),
                       options, m->fs().options());
  }
  return out;
}

std::string MountNamespace::mountinfo_text(const Path& root) const {
  std::string out;
  for (const auto& m : list()) {
    const std::string place = place_of(m, root);
    if (place.empty()) continue;
    const Path above = m->mountpoint();
    const std::string inner = PathText::of(Path({}, m->root()), {}).text;
    out += fmt::format("{} {} {}:{} {} {} {}{} - {} {} {}{}\n", m->id(),
                       above ? above.mount->id() : m->id(), major(m->fs().dev()),
                       minor(m->fs().dev()), escape(inner), escape(place), mount_options(*m),
                       propagation_fields(m->propagation(*this, root)), m->fs().type(),
                       escape(m->source()), m->fs().read_only() ? "ro" : "rw", m->fs().options());
  }
  return out;
}

}  // namespace usk
