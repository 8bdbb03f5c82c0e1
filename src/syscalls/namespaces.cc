// unshare(2), setns(2), sethostname(2), setdomainname(2), uname(2).
#include <linux/capability.h>
#include <sched.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/task/clone.h"
#include "kernel/task/namespace_file.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
                                     CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWCGROUP;
constexpr uint64_t kSharingFlags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;

bool is_threaded(Task& t) {
  Lock lock(task_mutex);
  return t.group->tasks.size() > 1;
}

}  // namespace

SyscallResult unshare(Task& t, CloneFlags flags) {
  uint64_t f = flags.bits;
  constexpr uint64_t kThreadFlags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
  if (f & ~(kNamespaceFlags | kSharingFlags | kThreadFlags)) return Err(EINVAL);
  if (f & CLONE_NEWUSER) f |= CLONE_THREAD | CLONE_FS;
  if (f & CLONE_NEWNS) f |= CLONE_FS;
  if ((f & kThreadFlags) && is_threaded(t)) return Err(EINVAL);
  if ((f & CLONE_VM) && t.mm->ref_count() > 1) return Err(EINVAL);
  if ((f & CLONE_NEWPID) && t.ns.pid_for_children.get() != &t.pid_ns()) return Err(EINVAL);
  Ref<const Creds> creds = t.creds;
  if (f & CLONE_NEWUSER) creds = TRY(creds_in_new_user_ns(t));
  const uint64_t others = f & kNamespaceFlags & ~uint64_t(CLONE_NEWUSER);
  if (others && !creds->capable(CAP_SYS_ADMIN)) return Err(EPERM);
  Ref<FsState> fs = f & CLONE_FS && t.fs->ref_count() > 1 ? t.fs->clone() : t.fs;
  Namespaces ns = TRY(new_namespaces(t, f, creds, *fs));
  if ((f & CLONE_FILES) && t.fds->ref_count() > 1) t.fds = t.fds->clone();
  if (f & (CLONE_SYSVSEM | CLONE_NEWIPC)) t.sem_undo.reset();
  Lock lock(task_mutex);  // What is left goes after it.
  std::swap(t.fs, fs);
  std::swap(t.ns, ns);
  std::swap(t.creds, creds);
  return 0;
}

SyscallResult setns(Task& t, Fd fd, CloneFlags type) {
  Ref<File> file = TRY(t.file(fd.n));
  TRY(enter_namespaces(t, *file, type.bits));
  return 0;
}

namespace {

void put_name(char* field, size_t size, std::string_view value) {
  memset(field, 0, size);
  memcpy(field, value.data(), std::min(value.size(), size - 1));
}

Result<std::string> get_name(Task& t, uint64_t name, uint64_t length) {
  if (int32_t(length) < 0 || length > 64) return Err(EINVAL);
  if (!t.creds->capable(CAP_SYS_ADMIN, *t.ns.uts->owner())) return Err(EPERM);
  std::string s(length, 0);
  TRY(t.mem().copy_in(std::as_writable_bytes(std::span(s)), name));
  return s;
}

}  // namespace

SyscallResult uname(Task& t, UserPtr<utsname> buf) {
  utsname u;
  put_name(u.sysname, sizeof u.sysname, "Linux");
  put_name(u.nodename, sizeof u.nodename, t.ns.uts->host());
  // PER_LINUX32 and UNAME26 of personality(2) change what old programs see.
  const bool old_release = t.personality & 0x0020000;
  put_name(u.release, sizeof u.release, old_release ? "2.6.66-usk" : kRelease);
  put_name(u.version, sizeof u.version, kVersion);
  put_name(u.machine, sizeof u.machine, (t.personality & 0xff) == 8 ? "i686" : "x86_64");
  put_name(u.domainname, sizeof u.domainname, t.ns.uts->domain());
  TRY(t.mem().put(buf, u));
  return 0;
}

SyscallResult sethostname(Task& t, uint64_t name, uint64_t length) {
  t.ns.uts->set_host(TRY(get_name(t, name, length)));
  return 0;
}

SyscallResult setdomainname(Task& t, uint64_t name, uint64_t length) {
  t.ns.uts->set_domain(TRY(get_name(t, name, length)));
  return 0;
}

}  // namespace usk::sys
