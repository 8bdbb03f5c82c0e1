// procfs: proc(5).
#pragma once
#include "fs/vfs/file_system.h"
#include "fs/vfs/mount.h"
#include "kernel/kernel.h"

namespace usk {

// proc(5): hidepid=, gid= and subset=.
struct ProcOptions {
  // 0: all processes are seen; 1: not looked into; 2: not listed; 4: as if they did not exist,
  // unless the reader may trace them or is in the group.
  int hide = 0;
  Gid group = 0;
  bool only_processes = false;
  // EINVAL. Ids are those of `ids`.
  USK_FIELDS(hide, group, only_processes)
  static Result<ProcOptions> parse(std::string_view text, const UserNamespace& ids);
};

// One instance: it shows the tasks of the pid namespace it was mounted in, with their numbers
// there, whoever reads (pid_namespaces(7)).
class ProcFs final : public FileSystem {
 public:
  static constexpr uint64_t kProcMagic = 0x9fa0;
  ProcFs(Kernel& kernel, Ref<PidNamespace> ns, std::string type = "proc",
         uint64_t magic = kProcMagic)
      : FileSystem(std::move(type)), kernel_(&kernel), ns_(std::move(ns)), magic_(magic) {}
  explicit ProcFs(Blank b) : FileSystem(b) {}
  Result<FsStat> statfs() override;
  Kernel& kernel() const { return *kernel_; }
  PidNamespace& ns() const { return *ns_; }
  std::string options() const override;
  Result<void> remount(std::string_view options) override;
  const ProcOptions& hiding() const { return hiding_; }
  void set_hiding(const ProcOptions& o) { hiding_ = o; }
  // Whether the reader may see processes of this instance that a level from `least` on hides.
  bool may_see(const Task& t, int least) const REQUIRES(task_mutex);
  USK_FIELDS_OF(FileSystem, ns_, magic_, hiding_)
  static constexpr int kRestoreStage = -2;
  OrFailure<void> restored(state::Restored& r);

 private:
  Kernel* kernel_ = nullptr;  // Never null, but while it is loaded.
  Ref<PidNamespace> ns_;
  uint64_t magic_ = kProcMagic;
  ProcOptions hiding_;
};

Result<FsTree> make_procfs(Kernel& kernel, Ref<PidNamespace> ns, ProcOptions options = {});
bool is_process_directory(File& file);
// The process whose directory this is an open file of, as pidfd_send_signal(2) takes it; null for
// other files and once it is gone.
Ref<Pid> process_of_directory(File& file) REQUIRES(task_mutex);
// sysfs(5): of the same make, without tasks.
Result<FsTree> make_sysfs(Kernel& kernel, Ref<PidNamespace> ns);

}  // namespace usk
