// /proc/PID/map_files: proc_pid_map_files(5).
#include <dirent.h>
#include <fmt/format.h>
#include <linux/capability.h>

#include <charconv>

#include "fs/proc/inode.h"
#include "fs/proc/text_file.h"
#include "fs/vfs/saving.h"

namespace usk::proc {
namespace {

struct Range {
  uint64_t start = 0, end = 0;
  USK_FIELDS(start, end)
};

// Two addresses in hexadecimal as this directory writes them, and nothing else.
std::optional<Range> parse_range(std::string_view name) {
  Range r;
  const char* const last = name.data() + name.size();
  const auto a = std::from_chars(name.data(), last, r.start, 16);
  if (a.ec != std::errc() || a.ptr == last || *a.ptr != '-') return std::nullopt;
  const auto b = std::from_chars(a.ptr + 1, last, r.end, 16);
  if (b.ec != std::errc() || fmt::format("{:x}-{:x}", r.start, r.end) != name) return std::nullopt;
  return r;
}

// The mapped file of just this range.
Result<Vma> area_of(const Subject& s, const Range& r) {
  TRY(s.check_access());
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return Err(ENOENT);
  auto v = mm->find(r.start);
  if (!v || v->start != r.start || v->end != r.end || !v->file) return Err(ENOENT);
  return *v;
}

class AreaLink final : public ProcInode {
 public:
  AreaLink(const Subject& s, Ino ino, Range range)
      : ProcInode(s, ino, S_IFLNK | 0777), range_(range) {}
  explicit AreaLink(Blank b) : ProcInode(b) {}
  USK_FIELDS_OF(ProcInode, range_)
  Result<Attr> getattr() override {
    Attr a = TRY(ProcInode::getattr());
    const Vma v = TRY(area_of(subject(), range_));
    // What the file was opened for, not what the area may do.
    a.mode =
        S_IFLNK | (v.file->can(File::kRead) ? 0400 : 0) | (v.file->can(File::kWrite) ? 0200 : 0);
    a.size = 64;
    return a;
  }
  Result<std::string> readlink() override {
    return shown(TRY(area_of(subject(), range_)).file->path());
  }
  bool is_magic_link() const override { return true; }
  // The way may lead to files that the process itself could not open by name.
  Result<Path> follow_magic(const WalkContext& ctx) override {
    if (!ctx.creds->capable_in_root(CAP_SYS_ADMIN) &&
        !ctx.creds->capable_in_root(CAP_CHECKPOINT_RESTORE)) {
      return Err(EPERM);
    }
    return TRY(area_of(subject(), range_)).file->path();
  }

 private:
  Range range_;
};

class MapFilesDir final : public ProcDir {
 public:
  using ProcDir::ProcDir;
  USK_FIELDS_OF(ProcInode)
  Result<std::vector<DirEntry>> list() override {
    TRY(subject().check_access());
    std::vector<DirEntry> out;
    const Ref<AddressSpace> mm = TRY(subject().memory());
    if (!mm) return out;
    for (const Vma& v : mm->areas()) {
      if (!v.file) continue;
      const std::string name = fmt::format("{:x}-{:x}", v.start, v.end);
      out.push_back({name, ino_below(ino(), name), DT_LNK});
    }
    return out;
  }
  Result<Ref<Inode>> lookup(std::string_view name) override {
    const auto range = parse_range(name);
    if (!range) return Err(ENOENT);
    TRY(area_of(subject(), *range));
    return make_ref<AreaLink>(subject(), ino_below(ino(), name), *range);
  }
};

}  // namespace

USK_SAVED(AreaLink, "fs/proc/area-link")
USK_SAVED(MapFilesDir, "fs/proc/map-files-dir")

Ref<Inode> make_map_files_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<MapFilesDir>(s, ino, e.mode);
}

}  // namespace usk::proc
