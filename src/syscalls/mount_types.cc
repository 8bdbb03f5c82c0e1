#include "syscalls/mount_types.h"

#include "fs/proc/proc_fs.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/tty/devpts.h"
#include "kernel/ipc/ipc_namespace.h"

namespace usk {

Result<FsTree> make_file_system(Task& t, std::string_view type, std::string_view options) {
  const UserNamespace& ids = *t.creds->user_ns;
  if (type == "tmpfs" || type == "ramfs") {
    TmpfsOptions o = TRY(TmpfsOptions::parse(options, ids));
    // A mounter without an id in the map has no files to own: as Linux, its own ids then.
    if (o.uid == 0) o.uid = t.creds->fsuid;
    if (o.gid == 0) o.gid = t.creds->fsgid;
    return make_tmpfs(o);
  }
  if (type == "devpts") return make_devpts(TRY(DevPtsOptions::parse(options, ids)));
  if (type == "proc") {
    return make_procfs(t.kernel, Ref<PidNamespace>::share(&t.pid_ns()),
                       TRY(ProcOptions::parse(options, ids)));
  }
  if (type == "sysfs") return make_sysfs(t.kernel, Ref<PidNamespace>::share(&t.pid_ns()));
  if (type == "mqueue") {
    Mount& all = *ipc_namespace(t.ns)->mqueue();  // The one instance of the namespace.
    return FsTree{Ref<FileSystem>::share(&all.fs()), all.root()};
  }
  return Err(ENODEV);
}

Result<void> check_file_system_option(Task& t, std::string_view type, std::string_view option) {
  const UserNamespace& ids = *t.creds->user_ns;
  if (type == "tmpfs" || type == "ramfs") {
    TRY(TmpfsOptions::parse(option, ids));
    return {};
  }
  if (type == "devpts") {
    TRY(DevPtsOptions::parse(option, ids));
    return {};
  }
  const std::string_view key = option.substr(0, option.find('='));
  if (type == "proc") {
    const bool known = key.empty() || key == "gid" || key == "hidepid" || key == "subset";
    return known ? Result<void>() : Err(EINVAL);
  }
  if (type == "sysfs") return key.empty() ? Result<void>() : Err(EINVAL);
  return Err(ENODEV);
}

}  // namespace usk
