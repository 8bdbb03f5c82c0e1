#include "kernel/ipc/ipc.h"

#include <linux/capability.h>

#include <algorithm>

#include "base/timer.h"
#include "kernel/task/task.h"

namespace usk {

PidStamp::PidStamp(const Pid& pid) : ns_(pid.ns_ref()), numbers_(pid.numbers()) {
  std::reverse(numbers_.begin(), numbers_.end());
}

int PidStamp::nr_in(const PidNamespace& ns) const {
  if (!ns_ || size_t(ns.level()) >= numbers_.size() || !ns.is_ancestor_of(*ns_)) return 0;
  return numbers_[size_t(ns.level())];
}

IpcCaller::IpcCaller(Task& t) : creds(t.creds), pid(*t.group->pid) {}

int64_t ipc_now() { return timer_service().now(CLOCK_REALTIME) / kNsPerSecond; }

Result<void> may_use(const IpcPerm& perm, uint32_t want, const Creds& creds,
                     const UserNamespace& owner) {
  const uint32_t asked = (want >> 6 | want >> 3 | want) & 7;
  uint32_t granted = perm.mode;
  if (creds.euid == perm.cuid || creds.euid == perm.uid) {
    granted >>= 6;
  } else if (creds.in_group(perm.cgid) || creds.in_group(perm.gid)) {
    granted >>= 3;
  }
  if ((asked & ~granted) && !creds.capable(CAP_IPC_OWNER, owner)) return Err(EACCES);
  return {};
}

Result<void> may_control(const IpcPerm& perm, const Creds& creds, const UserNamespace& owner) {
  if (creds.euid == perm.cuid || creds.euid == perm.uid || creds.capable(CAP_SYS_ADMIN, owner)) {
    return {};
  }
  return Err(EPERM);
}

Result<void> change_perm(IpcPerm& perm, const ipc_perm& to, const Creds& creds) {
  const auto uid = creds.user_ns->uid_in(to.uid);
  const auto gid = creds.user_ns->gid_in(to.gid);
  if (!uid || !gid || to.uid == UINT32_MAX || to.gid == UINT32_MAX) return Err(EINVAL);
  perm.uid = *uid;
  perm.gid = *gid;
  perm.mode = (perm.mode & ~0777u) | (to.mode & 0777);
  return {};
}

ipc_perm shown_perm(const IpcPerm& p, const Creds& viewer) {
  ipc_perm out = {};
  out.__key = p.key;
  out.uid = viewer.user_ns->uid_out(p.uid);
  out.gid = viewer.user_ns->gid_out(p.gid);
  out.cuid = viewer.user_ns->uid_out(p.cuid);
  out.cgid = viewer.user_ns->gid_out(p.cgid);
  out.mode = p.mode;
  out.__seq = static_cast<unsigned short>(p.seq);
  return out;
}

}  // namespace usk
