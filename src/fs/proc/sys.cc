// /proc/sys: proc_sys(5), proc_sys_kernel(5), proc_sys_fs(5), proc_sys_vm(5).
#include <fmt/format.h>
#include <linux/capability.h>

#include <charconv>
#include <climits>

#include "fs/proc/inode.h"
#include "fs/proc/ipc.h"
#include "fs/proc/net.h"
#include "fs/proc/system_values.h"
#include "fs/vfs/file_count.h"
#include "host/random.h"
#include "kernel/seccomp/actions.h"
#include "kernel/task/namespace_file.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444, kWritable = S_IFREG | 0644, kDir = S_IFDIR | 0555;

// A value that does not change.
#define USK_FIXED(entry, value)                                                      \
  {.name = entry, .mode = kFile, .text = [](const Subject&) -> Result<std::string> { \
     return value "\n";                                                              \
   }}

Result<std::string> release_text(const Subject&) { return std::string(kRelease) + "\n"; }
Result<std::string> version_text(const Subject&) { return std::string(kVersion) + "\n"; }
Result<std::string> pid_max_text(const Subject& s) { return fmt::format("{}\n", s.ns().pid_max); }
Result<std::string> last_pid_text(const Subject& s) {
  return fmt::format("{}\n", s.ns().last_pid());
}

Result<Ref<UtsNamespace>> uts() {
  Task* t = current_task();
  if (!t || !t->ns.uts) return Err(ESRCH);
  return t->ns.uts;
}
Result<std::string> host_text(const Subject&) { return TRY(uts())->host() + "\n"; }
Result<std::string> domain_text(const Subject&) { return TRY(uts())->domain() + "\n"; }

Result<std::string> one_name(std::string_view text) {
  std::string name(text.substr(0, text.find_first_of(std::string_view("\n\0", 2))));
  name.resize(std::min<size_t>(name.size(), 64));
  return name;
}
// Opening for writing takes root's rights by mode; the name is changed by CAP_SYS_ADMIN only.
Result<Ref<UtsNamespace>> own_uts() {
  Ref<UtsNamespace> ns = TRY(uts());
  if (!current_task()->creds->capable(CAP_SYS_ADMIN, *ns->owner())) return Err(EPERM);
  return ns;
}
Result<void> set_host(const Subject&, std::string_view text) {
  TRY(own_uts())->set_host(TRY(one_name(text)));
  return {};
}
Result<void> set_domain(const Subject&, std::string_view text) {
  TRY(own_uts())->set_domain(TRY(one_name(text)));
  return {};
}

// ns_last_pid: the next task gets the number after it.
Result<void> set_last_pid(const Subject& s, std::string_view text) {
  Task* t = current_task();
  const bool may = t && (t->creds->capable(CAP_SYS_ADMIN, *s.ns().owner()) ||
                         t->creds->capable(CAP_CHECKPOINT_RESTORE, *s.ns().owner()));
  if (!may) return Err(EPERM);
  const int nr = parse_id(text.substr(0, text.find('\n')));
  if (nr < 0 || nr >= s.ns().pid_max) return Err(EINVAL);
  Lock lock(task_mutex);
  s.ns().set_last_pid(nr);
  return {};
}

Result<std::string> new_uuid() {
  std::array<uint8_t, 16> b;
  host::fill_random(std::as_writable_bytes(std::span(b)));
  b[6] = uint8_t((b[6] & 0x0f) | 0x40);
  b[8] = uint8_t((b[8] & 0x3f) | 0x80);
  std::string out;
  for (size_t i = 0; i < b.size(); i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    out += fmt::format("{:02x}", b[i]);
  }
  return out + "\n";
}
Result<std::string> uuid_text(const Subject&) { return new_uuid(); }
Result<std::string> boot_id_text(const Subject&) {
  static const Result<std::string> id = new_uuid();
  return id;
}

Result<std::string> scope_text(const Subject& s) {
  return fmt::format("{}\n", s.kernel().yama.scope());
}
Result<void> set_scope(const Subject& s, std::string_view text) {
  const Task* t = current_task();
  if (!t || !t->creds->capable(CAP_SYS_PTRACE, *s.kernel().root_user_ns)) return Err(EPERM);
  const int scope = parse_id(text.substr(0, text.find('\n')));
  return scope < 0 ? Err(EINVAL) : s.kernel().yama.set_scope(scope);
}

Result<std::string> threads_max_text(const Subject& s) {
  return fmt::format("{}\n", std::min<uint64_t>(s.kernel().options().max_tasks, 127000));
}

Result<std::string> file_max_text(const Subject&) { return fmt::format("{}\n", most_files()); }
Result<std::string> file_nr_text(const Subject&) {
  return fmt::format("{}\t0\t{}\n", count_of_files(), most_files());
}

template <auto FsSysctls::* kMember>
Result<std::string> switch_text(const Subject&) {
  return fmt::format("{}\n", int(fs_sysctls().*kMember));
}

// Values of the whole system: root's, whatever capabilities another user may have.
Result<void> root_only() {
  Task* t = current_task();
  return t && t->creds->euid == 0 ? Result<void>() : Err(EACCES);
}

Result<std::string> core_pattern_text(const Subject& s) { return s.kernel().core.pattern() + "\n"; }
Result<void> set_core_pattern(const Subject& s, std::string_view text) {
  TRY(root_only());
  text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
  s.kernel().core.set_pattern(std::string(text.substr(0, CoreSettings::kMostPattern)));
  return {};
}

template <auto CoreSettings::* kMember>
Result<std::string> core_switch_text(const Subject& s) {
  return fmt::format("{}\n", (s.kernel().core.*kMember).load());
}
template <auto CoreSettings::* kMember, int kMost>
Result<void> set_core_switch(const Subject& s, std::string_view text) {
  TRY(root_only());
  const uint32_t v = TRY(parse_uint(text));
  if (v > uint32_t(kMost)) return Err(EINVAL);
  (s.kernel().core.*kMember).store(int(v));
  return {};
}
template <auto CoreSettings::* kMember, int kMost = INT_MAX>
constexpr Entry core_switch(std::string_view name) {
  return {.name = name,
          .mode = kWritable,
          .text = core_switch_text<kMember>,
          .write = set_core_switch<kMember, kMost>};
}

constexpr Entry kRandom[] = {
    {.name = "boot_id", .mode = kFile, .text = boot_id_text},
    USK_FIXED("entropy_avail", "256"),
    USK_FIXED("poolsize", "256"),
    {.name = "uuid", .mode = kFile, .text = uuid_text},
};
Result<std::string> logged_text(const Subject&) {
  return seccomp::action_names(seccomp::logged_actions().set) + "\n";
}
Result<void> set_logged(const Subject& s, std::string_view text) {
  Task* t = current_task();
  if (!t || !t->creds->capable(CAP_SYS_ADMIN, *s.kernel().root_user_ns)) return Err(EPERM);
  const auto set = seccomp::actions_of(text.substr(0, text.find('\n')));
  if (!set || (*set & seccomp::kAllowAction)) return Err(EINVAL);
  seccomp::logged_actions().set = *set;
  return {};
}
constexpr Entry kSeccomp[] = {
    USK_FIXED("actions_avail", "kill_process kill_thread trap errno user_notif trace log allow"),
    {.name = "actions_logged", .mode = kWritable, .text = logged_text, .write = set_logged},
};
constexpr Entry kYama[] = {
    {.name = "ptrace_scope", .mode = kWritable, .text = scope_text, .write = set_scope},
};
constexpr Entry kKernel[] = {
    USK_FIXED("cap_last_cap", "40"),
    {.name = "core_pattern",
     .mode = kWritable,
     .text = core_pattern_text,
     .write = set_core_pattern},
    core_switch<&CoreSettings::pipe_limit>("core_pipe_limit"),
    core_switch<&CoreSettings::uses_pid>("core_uses_pid"),
    {.name = "domainname", .mode = kWritable, .text = domain_text, .write = set_domain},
    {.name = "hostname", .mode = kWritable, .text = host_text, .write = set_host},
    USK_FIXED("kptr_restrict", "1"),
    ipc_sysctl_entry<IpcSysctl::kMsgMax>("msgmax"),
    ipc_sysctl_entry<IpcSysctl::kMsgMnb>("msgmnb"),
    ipc_sysctl_entry<IpcSysctl::kMsgMni>("msgmni"),
    USK_FIXED("ngroups_max", "65536"),
    {.name = "ns_last_pid", .mode = S_IFREG | 0666, .text = last_pid_text, .write = set_last_pid},
    {.name = "osrelease", .mode = kFile, .text = release_text},
    USK_FIXED("ostype", "Linux"),
    USK_FIXED("overflowgid", "65534"),
    USK_FIXED("overflowuid", "65534"),
    USK_FIXED("perf_event_paranoid", "4"),
    {.name = "pid_max", .mode = kFile, .text = pid_max_text},
    {.name = "random", .mode = kDir, .children = kRandom},
    USK_FIXED("randomize_va_space", "2"),
    {.name = "seccomp", .mode = kDir, .children = kSeccomp},
    ipc_sysctl_entry<IpcSysctl::kSem>("sem"),
    USK_FIXED("shm_rmid_forced", "0"),
    ipc_sysctl_entry<IpcSysctl::kShmAll>("shmall"),
    ipc_sysctl_entry<IpcSysctl::kShmMax>("shmmax"),
    ipc_sysctl_entry<IpcSysctl::kShmMni>("shmmni"),
    USK_FIXED("tainted", "0"),
    {.name = "threads-max", .mode = kFile, .text = threads_max_text},
    {.name = "version", .mode = kFile, .text = version_text},
    {.name = "yama", .mode = kDir, .children = kYama},
};
constexpr Entry kVm[] = {
    USK_FIXED("max_map_count", "65530"), USK_FIXED("mmap_min_addr", "524288"),
    USK_FIXED("overcommit_memory", "0"), USK_FIXED("overcommit_ratio", "50"),
    USK_FIXED("swappiness", "60"),
};
constexpr Entry kInotify[] = {
    USK_FIXED("max_queued_events", "16384"),
    USK_FIXED("max_user_instances", "128"),
    USK_FIXED("max_user_watches", "65536"),
};
Ref<Inode> make_mqueue_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, mqueue_entries());
}

constexpr Entry kFs[] = {
    {.name = "file-max", .mode = kFile, .text = file_max_text},
    {.name = "file-nr", .mode = kFile, .text = file_nr_text},
    {.name = "inotify", .mode = kDir, .children = kInotify},
    USK_FIXED("mount-max", "100000"),
    {.name = "mqueue", .mode = kDir, .make = make_mqueue_dir},
    USK_FIXED("nr_open", "1048576"),
    USK_FIXED("pipe-max-size", "1048576"),
    {.name = "protected_fifos", .mode = kFile, .text = switch_text<&FsSysctls::protected_fifos>},
    {.name = "protected_hardlinks",
     .mode = kFile,
     .text = switch_text<&FsSysctls::protected_hardlinks>},
    {.name = "protected_regular",
     .mode = kFile,
     .text = switch_text<&FsSysctls::protected_regular>},
    {.name = "protected_symlinks",
     .mode = kFile,
     .text = switch_text<&FsSysctls::protected_symlinks>},
    core_switch<&CoreSettings::suid_dumpable, 2>("suid_dumpable"),
};
Ref<Inode> make_net_sysctls(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, net_sysctls());
}

constexpr Entry kSys[] = {
    {.name = "fs", .mode = kDir, .children = kFs},
    {.name = "kernel", .mode = kDir, .children = kKernel},
    {.name = "net", .mode = kDir, .make = make_net_sysctls},
    {.name = "vm", .mode = kDir, .children = kVm},
};
#undef USK_FIXED

}  // namespace

static const NamedTable kSysTable("sys", kSys);

Ref<Inode> make_sys_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, kSys);
}

}  // namespace usk::proc
