// statmount(2), listmount(2).
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include "syscalls/mount_args.h"
#include "syscalls/versioned.h"

namespace usk::sys {
namespace {

constexpr uint64_t kRootMount = UINT64_MAX;  // LSMT_ROOT
constexpr uint64_t kFirstUniqueId = uint64_t(1) << 31;
constexpr uint32_t kReverse = 1;  // LISTMOUNT_REVERSE
constexpr size_t kOldestRequest = 24;

// STATMOUNT_*
enum : uint64_t {
  kSbBasic = 1,
  kMntBasic = 2,
  kPropagateFrom = 4,
  kMntRoot = 8,
  kMntPoint = 0x10,
  kFsType = 0x20,
  kMntNsId = 0x40,
  kMntOpts = 0x80,
  kSbSource = 0x200,
  kOptArray = 0x400,
  kSupported = 0x1000,
};
constexpr uint64_t kAllSupported = kSbBasic | kMntBasic | kPropagateFrom | kMntRoot | kMntPoint |
                                   kFsType | kMntNsId | kMntOpts | kSbSource | kOptArray |
                                   kSupported;

Result<MountIdRequest> get_request(Task& t, UserPtr<const MountIdRequest> at) {
  const uint32_t size = TRY(t.mem().get(UserPtr<const uint32_t>{at.addr}));
  auto q = TRY(get_versioned<MountIdRequest>(t, at.addr, size, kOldestRequest));
  if (q.spare) return Err(EINVAL);
  if (q.mount_id <= kFirstUniqueId) return Err(EINVAL);
  if (q.namespace_id && q.namespace_id != t.ns.mounts->id()) return Err(ENOENT);
  return q;
}

bool is_reachable(const Ref<Mount>& m, const Path& root) {
  return m == root.mount || PathText::of(Path(m, m->root()), root).reachable;
}

// The mount of a request, as far as the caller may see it.
Result<Ref<Mount>> find_mount(Task& t, uint64_t unique, const Path& root) {
  const uint64_t id = unique - (uint64_t(1) << 32);
  Ref<Mount> m = id <= INT32_MAX ? t.ns.mounts->find(int(id)) : Ref<Mount>();
  if (!m) return Err(ENOENT);
  if (!is_reachable(m, root) && !may_mount(t)) return Err(EPERM);
  return m;
}

// Strings behind the structure.
class Strings {
 public:
  uint32_t add(std::string_view s) {
    const uint32_t at = uint32_t(text_.size());
    text_.append(s).push_back('\0');
    return at;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string options_of(const FileSystem& fs) {
  std::string options = fs.options();
  if (options.starts_with(',')) options.erase(0, 1);
  return options;
}

unsigned long propagation_bits(const Mount::Propagation& p) {
  unsigned long bits = (p.peers ? MS_SHARED : 0) | (p.master ? MS_SLAVE : 0);
  if (p.unbindable) bits |= MS_UNBINDABLE;
  return bits ? bits : static_cast<unsigned long>(MS_PRIVATE);
}

void fill_numbers(StatMount& s, const Mount& m, const MountNamespace& ns, const Path& root,
                  uint64_t magic) {
  const Path above = m.mountpoint();
  const Mount& parent = above ? *above.mount : m;
  const Mount::Propagation p = m.propagation(ns, root);
  if (s.mask & kSbBasic) {
    s.dev_major = major(m.fs().dev()), s.dev_minor = minor(m.fs().dev());
    s.magic = magic;
    s.fs_flags = m.fs().read_only() ? MS_RDONLY : 0;
  }
  if (s.mask & kMntBasic) {
    s.id = m.unique_id(), s.parent_id = parent.unique_id();
    s.old_id = uint32_t(m.id()), s.old_parent_id = uint32_t(parent.id());
    s.attributes = attributes_from_flags(m.flags());
    s.propagation = propagation_bits(p);
    s.peer_group = uint64_t(p.peers), s.master = uint64_t(p.master);
  }
  if (s.mask & kPropagateFrom) s.propagate_from = uint64_t(p.from);
  if (s.mask & kMntNsId) s.namespace_id = ns.id();
  if (s.mask & kSupported) s.supported = kAllSupported;
}

void fill_strings(StatMount& s, const Ref<Mount>& m, const Path& root, Strings& strings) {
  strings.add("");  // Offset 0 is the empty string.
  if (s.mask & kFsType) s.fs_type = strings.add(m->fs().type());
  if (s.mask & kMntRoot) s.root = strings.add(PathText::of(Path({}, m->root()), {}).text);
  if (s.mask & kMntPoint) {
    const bool top = m == root.mount;
    s.mountpoint = strings.add(top ? "/" : PathText::of(Path(m, m->root()), root).text);
  }
  if (s.mask & kSbSource) s.source = strings.add(m->source());
  const std::string options = options_of(m->fs());
  if ((s.mask & kMntOpts) && !options.empty()) s.mount_options = strings.add(options);
  if ((s.mask & kOptArray) && !options.empty()) {
    std::string parts = options;
    s.option_count = 1;
    for (char& c : parts) {
      if (c == ',') c = '\0', s.option_count++;
    }
    s.options = strings.add(parts);
  }
  if (options.empty()) s.mask &= ~uint64_t(kMntOpts | kOptArray);
}

}  // namespace

SyscallResult statmount(Task& t, UserPtr<const MountIdRequest> request, uint64_t buffer,
                        uint64_t size, uint32_t flags) {
  if (flags) return Err(EINVAL);
  const MountIdRequest q = TRY(get_request(t, request));
  const Path root = t.fs->root();
  const Ref<Mount> m = TRY(find_mount(t, q.mount_id, root));
  StatMount s{};
  s.mask = q.param & kAllSupported;
  fill_numbers(s, *m, *t.ns.mounts, root, TRY(m->fs().statfs()).type);
  Strings strings;
  fill_strings(s, m, root, strings);
  s.size = uint32_t(sizeof s + strings.text().size());
  const bool has_strings = strings.text().size() > 1;
  if (!has_strings) s.size = uint32_t(std::min<uint64_t>(size, sizeof s));
  // The fixed part may be cut short; strings must fit.
  if (has_strings && size < s.size) return Err(EOVERFLOW);
  std::string out(reinterpret_cast<const char*>(&s), sizeof s);
  if (has_strings) out += strings.text();
  out.resize(std::min<size_t>(out.size(), size));
  TRY(t.mem().copy_out(buffer, std::as_bytes(std::span(out))));
  return 0;
}

SyscallResult listmount(Task& t, UserPtr<const MountIdRequest> request, UserPtr<uint64_t> ids,
                        uint64_t count, uint32_t flags) {
  constexpr uint64_t kMost = 1'000'000;
  if (flags & ~kReverse) return Err(EINVAL);
  if (count > kMost) return Err(EOVERFLOW);
  const MountIdRequest q = TRY(get_request(t, request));
  if (q.param && q.param <= kFirstUniqueId) return Err(EINVAL);
  Path root = t.fs->root();
  if (q.mount_id != kRootMount) {
    const Ref<Mount> m = TRY(find_mount(t, q.mount_id, root));
    root = Path(m, m->root());
  }
  std::vector<Ref<Mount>> mounts = t.ns.mounts->list();
  const bool reverse = flags & kReverse;
  if (reverse) std::reverse(mounts.begin(), mounts.end());
  std::vector<uint64_t> out;
  for (const auto& m : mounts) {
    if (out.size() == count) break;
    const uint64_t id = m->unique_id();
    if (q.param && (reverse ? id >= q.param : id <= q.param)) continue;
    if (q.mount_id != kRootMount && id == q.mount_id) continue;
    if (is_reachable(m, root)) out.push_back(id);
  }
  TRY(t.mem().copy_out(ids.addr, std::as_bytes(std::span(out))));
  return int64_t(out.size());
}

}  // namespace usk::sys
