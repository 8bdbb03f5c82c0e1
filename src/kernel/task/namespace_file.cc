#include "kernel/task/namespace_file.h"

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sched.h>

#include "fs/vfs/caller.h"
#include "fs/vfs/saving.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/task/access.h"
#include "kernel/task/pid_file.h"

namespace usk {

USK_SAVED(NamespaceFile, "kernel/task/namespace-file")

uint64_t NamespaceRef::id() const {
  if (mounts) return mounts->id();
  if (uts) return uts->id();
  if (plain) return plain->id();
  if (pid) return pid->id();
  return user ? user->id() : 0;
}

OrFailure<void> NamespaceRef::check() const {
  bool there = false;
  switch (type) {
    case CLONE_NEWNS: there = bool(mounts); break;
    case CLONE_NEWUTS: there = bool(uts); break;
    case CLONE_NEWPID: there = bool(pid); break;
    case CLONE_NEWUSER: there = bool(user); break;
    case CLONE_NEWIPC: there = bool(ref_cast<IpcNamespace>(plain)); break;
    case CLONE_NEWNET:
    case CLONE_NEWCGROUP:
    case 0x80 /* CLONE_NEWTIME */: there = bool(plain); break;
    default: break;
  }
  if (!there) return fail("a namespace that is not there");
  return {};
}

OrFailure<void> NamespaceFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return ns_.check();
}

Ref<UserNamespace> NamespaceRef::owner() const {
  if (mounts) return mounts->owner();
  if (uts) return uts->owner();
  if (plain) return plain->owner();
  if (pid) return pid->owner();
  return user ? user->parent() : Ref<UserNamespace>();
}

NamespaceRef namespace_of(Task& t, uint64_t type, bool for_children) {
  NamespaceRef r;
  r.type = type;
  switch (type) {
    case CLONE_NEWNS: r.mounts = t.ns.mounts; break;
    case CLONE_NEWUTS: r.uts = t.ns.uts; break;
    case CLONE_NEWNET: r.plain = t.ns.net; break;
    case CLONE_NEWIPC: r.plain = t.ns.ipc; break;
    case CLONE_NEWCGROUP: r.plain = t.ns.cgroup; break;
    case 0x80 /* CLONE_NEWTIME */: r.plain = t.ns.time; break;
    case CLONE_NEWPID: r.pid = for_children ? t.ns.pid_for_children : t.pid->ns_ref(); break;
    case CLONE_NEWUSER: r.user = t.creds->user_ns; break;
    default: break;
  }
  return r;
}

Result<int64_t> NamespaceFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  if (cmd == NS_GET_NSTYPE) return int64_t(ns_.type);
  if (cmd == NS_GET_OWNER_UID) {
    if (!ns_.user) return Err(EINVAL);
    TRY(caller.put(arg, caller.creds().user_ns->uid_out(ns_.user->owner())));
    return 0;
  }
  return Err(ENOTTY);
}

namespace {

Result<void> enter_user(Task& t, const Ref<UserNamespace>& ns) {
  if (ns == t.creds->user_ns) return Err(EINVAL);
  {
    Lock lock(task_mutex);
    if (t.group->tasks.size() > 1) return Err(EINVAL);
  }
  if (!t.creds->capable(CAP_SYS_ADMIN, *ns)) return Err(EPERM);
  Ref<Creds> c = t.creds->clone();
  c->user_ns = ns;
  c->permitted = c->effective = c->bounding = kFullCaps;
  c->inheritable = c->ambient = 0;
  t.creds = c;
  return {};
}

Result<void> enter_mounts(Task& t, const Ref<MountNamespace>& ns) {
  if (!t.capable(CAP_SYS_CHROOT)) return Err(EPERM);
  if (t.fs->ref_count() > 1) return Err(EINVAL);
  t.ns.mounts = ns;
  t.fs->set_root(ns->root());
  t.fs->set_cwd(ns->root());
  return {};
}

Result<void> enter(Task& t, const NamespaceRef& r) {
  if (r.user) return enter_user(t, r.user);
  const auto owner = r.owner();
  if (!owner || !t.creds->capable(CAP_SYS_ADMIN, *owner) || !t.capable(CAP_SYS_ADMIN)) {
    return Err(EPERM);
  }
  switch (r.type) {
    case CLONE_NEWNS: return enter_mounts(t, r.mounts);
    case CLONE_NEWUTS: t.ns.uts = r.uts; return {};
    case CLONE_NEWNET: t.ns.net = r.plain; return {};
    case CLONE_NEWIPC:
      t.sem_undo.reset();  // Of semaphores that it leaves.
      t.ns.ipc = r.plain;
      return {};
    case CLONE_NEWCGROUP: t.ns.cgroup = r.plain; return {};
    case CLONE_NEWPID:
      if (!t.pid_ns().is_ancestor_of(*r.pid)) return Err(EINVAL);
      t.ns.pid_for_children = r.pid;
      return {};
    default: return Err(EINVAL);
  }
}

}  // namespace

Result<void> enter_namespaces(Task& t, File& file, uint64_t type) {
  if (auto* f = dynamic_cast<NamespaceFile*>(&file)) {
    if (type && type != f->ns().type) return Err(EINVAL);
    return enter(t, f->ns());
  }
  auto* pidfd = dynamic_cast<PidFile*>(&file);
  if (!pidfd || !type) return Err(EINVAL);
  std::vector<NamespaceRef> refs;
  {
    Lock lock(task_mutex);
    ThreadGroup* g = pidfd->pid().group;
    if (!g || !g->leader) return Err(ESRCH);
    if (!may_access(t, *g->leader, AccessCreds::kReal)) return Err(EPERM);
    // The user namespace first: it gives the rights for the others.
    for (uint64_t one : {uint64_t(CLONE_NEWUSER), uint64_t(CLONE_NEWUTS), uint64_t(CLONE_NEWIPC),
                         uint64_t(CLONE_NEWNET), uint64_t(CLONE_NEWPID), uint64_t(CLONE_NEWCGROUP),
                         uint64_t(CLONE_NEWNS)}) {
      if (type & one) refs.push_back(namespace_of(*g->leader, one));
      type &= ~one;
    }
  }
  if (type) return Err(EINVAL);
  for (auto& r : refs) TRY(enter(t, r));
  return {};
}

}  // namespace usk
