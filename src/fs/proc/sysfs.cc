// sysfs(5), as far as programs look there without a device in mind: the processors, huge pages,
// and places that are empty here.
#include <dirent.h>
#include <fmt/format.h>

#include "fs/proc/inode.h"
#include "fs/proc/system_values.h"
#include "fs/vfs/saving.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444, kDir = S_IFDIR | 0555;

Result<std::string> range_text(const Subject&) {
  const int n = cpu_count();
  return n == 1 ? std::string("0\n") : fmt::format("0-{}\n", n - 1);
}
Result<std::string> never_text(const Subject&) { return "always madvise [never]\n"; }
Result<std::string> one_text(const Subject&) { return "1\n"; }
Result<std::string> zero_text(const Subject&) { return "0\n"; }
Result<std::string> last_cpu_text(const Subject&) { return fmt::format("{}\n", cpu_count() - 1); }
Result<std::string> no_range_text(const Subject&) { return "\n"; }

constexpr Entry kOneCpu[] = {{.name = "online", .mode = kFile, .text = one_text}};
constexpr Entry kCpus[] = {
    {.name = "kernel_max", .mode = kFile, .text = last_cpu_text},
    {.name = "offline", .mode = kFile, .text = no_range_text},
    {.name = "online", .mode = kFile, .text = range_text},
    {.name = "possible", .mode = kFile, .text = range_text},
    {.name = "present", .mode = kFile, .text = range_text},
};
constexpr Entry kNodes[] = {
    {.name = "online", .mode = kFile, .text = zero_text},
    {.name = "possible", .mode = kFile, .text = zero_text},
};

// devices/system/cpu: a directory for each processor beside the files.
class CpuDir final : public TableDir {
 public:
  CpuDir(const Subject& s, Ino ino, uint32_t mode) : TableDir(s, ino, mode, kCpus) {}
  explicit CpuDir(Blank b) : TableDir(b) {}
  USK_FIELDS_OF(TableDir)
  Result<Ref<Inode>> lookup(std::string_view name) override {
    if (!name.starts_with("cpu")) return TableDir::lookup(name);
    const int cpu = parse_id(name.substr(3));
    if (cpu < 0 || cpu >= cpu_count()) return Err(ENOENT);
    return make_ref<TableDir>(subject(), ino_below(ino(), name), kDir, kOneCpu);
  }
  Result<std::vector<DirEntry>> list() override {
    std::vector<DirEntry> out = TRY(TableDir::list());
    for (int cpu = 0; cpu < cpu_count(); cpu++) {
      const std::string name = fmt::format("cpu{}", cpu);
      out.push_back({name, ino_below(ino(), name), DT_DIR});
    }
    return out;
  }
};

Ref<Inode> make_cpu_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<CpuDir>(s, ino, e.mode);
}

constexpr Entry kSystem[] = {
    {.name = "cpu", .mode = kDir, .make = make_cpu_dir},
    {.name = "node", .mode = kDir, .children = kNodes},
};
constexpr Entry kDevices[] = {{.name = "system", .mode = kDir, .children = kSystem}};
constexpr Entry kFs[] = {{.name = "cgroup", .mode = kDir}};
constexpr Entry kHuge[] = {
    {.name = "defrag", .mode = kFile, .text = never_text},
    {.name = "enabled", .mode = kFile, .text = never_text},
};
constexpr Entry kMm[] = {{.name = "transparent_hugepage", .mode = kDir, .children = kHuge}};
constexpr Entry kKernel[] = {{.name = "mm", .mode = kDir, .children = kMm}};
constexpr Entry kRoot[] = {
    {.name = "block", .mode = kDir},
    {.name = "bus", .mode = kDir},
    {.name = "class", .mode = kDir},
    {.name = "devices", .mode = kDir, .children = kDevices},
    {.name = "fs", .mode = kDir, .children = kFs},
    {.name = "kernel", .mode = kDir, .children = kKernel},
    {.name = "module", .mode = kDir},
};

const NamedTable kRootTable("sysfs", kRoot), kCpusTable("cpus", kCpus), kOneTable("cpu", kOneCpu);

USK_SAVED(CpuDir, "fs/proc/cpu-dir")

}  // namespace
}  // namespace usk::proc

namespace usk {

Result<FsTree> make_sysfs(Kernel& kernel, Ref<PidNamespace> ns) {
  constexpr uint64_t kMagic = 0x62656572;  // SYSFS_MAGIC
  auto fs = make_ref<ProcFs>(kernel, std::move(ns), "sysfs", kMagic);
  Ref<Inode> root = make_ref<proc::TableDir>(proc::Subject(*fs), 1, S_IFDIR | 0555, proc::kRoot);
  return FsTree{fs, Dentry::make_root(std::move(root))};
}

}  // namespace usk
