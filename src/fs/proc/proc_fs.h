// procfs: proc(5).
#pragma once
#include "fs/vfs/file_system.h"
#include "fs/vfs/mount.h"
#include "kernel/kernel.h"

namespace usk {

// One instance: it shows the tasks of the pid namespace it was mounted in, with their numbers
// there, whoever reads (pid_namespaces(7)).
class ProcFs final : public FileSystem {
 public:
  static constexpr uint64_t kProcMagic = 0x9fa0;
  ProcFs(Kernel& kernel, Ref<PidNamespace> ns, std::string type = "proc",
         uint64_t magic = kProcMagic)
      : FileSystem(std::move(type)), kernel_(kernel), ns_(std::move(ns)), magic_(magic) {}
  Result<FsStat> statfs() override;
  Kernel& kernel() const { return kernel_; }
  PidNamespace& ns() const { return *ns_; }
  USK_FIELDS(ns_)

 private:
  Kernel& kernel_;
  Ref<PidNamespace> ns_;
  const uint64_t magic_;
};

Result<FsTree> make_procfs(Kernel& kernel, Ref<PidNamespace> ns);
// sysfs(5): of the same make, without tasks.
Result<FsTree> make_sysfs(Kernel& kernel, Ref<PidNamespace> ns);

}  // namespace usk
