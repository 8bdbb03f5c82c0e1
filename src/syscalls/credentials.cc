// setuid(2), setreuid(2), setresuid(2), setfsuid(2) and their group twins, getgroups(2), capget(2).
#include <linux/capability.h>
#include <linux/securebits.h>

#include <algorithm>

#include "fs/vfs/guard.h"
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

namespace usk::sys {
namespace {

constexpr uint32_t kKeep = ~0u;  // -1: leave unchanged.

// The policy's say. An id that the task has already is none that it gets.
Result<void> ask_to_become(const Creds& old, const Creds& c) {
  using policy::IdKind;
  const auto ask = [](IdKind kind, uint32_t from, std::initializer_list<uint32_t> had,
                      std::initializer_list<uint32_t> next) -> Result<void> {
    for (uint32_t id : next) {
      if (std::ranges::find(had, id) != had.end()) continue;
      TRY(installed_guard->change_id(kind, from, id));
    }
    return {};
  };
  TRY(ask(IdKind::kUser, old.uid, {old.uid, old.euid, old.suid, old.fsuid},
          {c.uid, c.euid, c.suid, c.fsuid}));
  TRY(ask(IdKind::kGroup, old.gid, {old.gid, old.egid, old.sgid, old.fsgid},
          {c.gid, c.egid, c.sgid, c.fsgid}));
  for (Gid g : c.groups) {
    const bool had = std::ranges::binary_search(old.groups, g) || old.gid == g || old.egid == g;
    if (!had) TRY(installed_guard->change_id(IdKind::kGroup, old.gid, g));
  }
  return {};
}

// Publishes changed credentials: capabilities follow the ids (capabilities(7), "Effect of user ID
// changes"), and a process that changed who it is cannot be dumped. EPERM: a policy is against it.
Result<void> commit(Task& t, Ref<Creds> c) {
  const Creds& old = *t.creds;
  if (installed_guard) TRY(ask_to_become(old, *c));
  if (!(c->securebits & SECBIT_NO_SETUID_FIXUP)) {
    const auto root = c->user_ns->uid_in(0).value_or(UINT32_MAX);
    const bool had_root = old.uid == root || old.euid == root || old.suid == root;
    const bool has_root = c->uid == root || c->euid == root || c->suid == root;
    if (had_root && !has_root) {
      if (!(c->securebits & SECBIT_KEEP_CAPS)) {
        c->permitted = 0;
        c->effective = 0;
      }
      c->ambient = 0;
    }
    if (old.euid == root && c->euid != root) c->effective = 0;
    if (old.euid != root && c->euid == root) c->effective = c->permitted;
    // The capabilities that are about files follow the file system id.
    constexpr CapSet kFs = cap_bit(CAP_CHOWN) | cap_bit(CAP_MKNOD) | cap_bit(CAP_DAC_OVERRIDE) |
                           cap_bit(CAP_DAC_READ_SEARCH) | cap_bit(CAP_FOWNER) |
                           cap_bit(CAP_FSETID) | cap_bit(CAP_LINUX_IMMUTABLE) |
                           cap_bit(CAP_MAC_OVERRIDE);
    if (old.fsuid == root && c->fsuid != root) c->effective &= ~kFs;
    if (old.fsuid != root && c->fsuid == root) c->effective |= c->permitted & kFs;
  }
  const bool changed = old.euid != c->euid || old.egid != c->egid || old.fsuid != c->fsuid ||
                       old.fsgid != c->fsgid || (c->permitted & ~old.permitted);
  if (changed) {
    if (t.mm) t.mm->dumpable = t.kernel.core.suid_dumpable;
    t.parent_death_signal = 0;
  }
  Lock lock(task_mutex);
  t.creds = c;
  return {};
}

Result<uint32_t> uid_arg(Task& t, uint32_t v) {
  if (v == kKeep) return v;
  auto k = t.creds->user_ns->uid_in(v);
  if (!k) return Err(EINVAL);
  return *k;
}
Result<uint32_t> gid_arg(Task& t, uint32_t v) {
  if (v == kKeep) return v;
  auto k = t.creds->user_ns->gid_in(v);
  if (!k) return Err(EINVAL);
  return *k;
}

}  // namespace

SyscallResult getuid(Task& t) { return t.creds->user_ns->uid_out(t.creds->uid); }
SyscallResult geteuid(Task& t) { return t.creds->user_ns->uid_out(t.creds->euid); }
SyscallResult getgid(Task& t) { return t.creds->user_ns->gid_out(t.creds->gid); }
SyscallResult getegid(Task& t) { return t.creds->user_ns->gid_out(t.creds->egid); }

SyscallResult setuid(Task& t, uint32_t uid) {
  if (uid == kKeep) return Err(EINVAL);
  const uint32_t k = TRY(uid_arg(t, uid));
  Ref<Creds> c = t.creds->clone();
  if (c->capable(CAP_SETUID)) {
    c->uid = c->suid = k;
  } else if (k != c->uid && k != c->suid) {
    return Err(EPERM);
  }
  c->euid = c->fsuid = k;
  TRY(commit(t, c));
  return 0;
}

SyscallResult setgid(Task& t, uint32_t gid) {
  if (gid == kKeep) return Err(EINVAL);
  const uint32_t k = TRY(gid_arg(t, gid));
  Ref<Creds> c = t.creds->clone();
  if (c->capable(CAP_SETGID)) {
    c->gid = c->sgid = k;
  } else if (k != c->gid && k != c->sgid) {
    return Err(EPERM);
  }
  c->egid = c->fsgid = k;
  TRY(commit(t, c));
  return 0;
}

SyscallResult setreuid(Task& t, uint32_t ruid, uint32_t euid) {
  const uint32_t r = TRY(uid_arg(t, ruid)), e = TRY(uid_arg(t, euid));
  Ref<Creds> c = t.creds->clone();
  const Creds& old = *t.creds;
  const bool any = c->capable(CAP_SETUID);
  if (r != kKeep) {
    if (!any && r != old.uid && r != old.euid) return Err(EPERM);
    c->uid = r;
  }
  if (e != kKeep) {
    if (!any && e != old.uid && e != old.euid && e != old.suid) return Err(EPERM);
    c->euid = e;
  }
  if (r != kKeep || (e != kKeep && e != old.uid)) c->suid = c->euid;
  c->fsuid = c->euid;
  TRY(commit(t, c));
  return 0;
}

SyscallResult setregid(Task& t, uint32_t rgid, uint32_t egid) {
  const uint32_t r = TRY(gid_arg(t, rgid)), e = TRY(gid_arg(t, egid));
  Ref<Creds> c = t.creds->clone();
  const Creds& old = *t.creds;
  const bool any = c->capable(CAP_SETGID);
  if (r != kKeep) {
    if (!any && r != old.gid && r != old.egid) return Err(EPERM);
    c->gid = r;
  }
  if (e != kKeep) {
    if (!any && e != old.gid && e != old.egid && e != old.sgid) return Err(EPERM);
    c->egid = e;
  }
  if (r != kKeep || (e != kKeep && e != old.gid)) c->sgid = c->egid;
  c->fsgid = c->egid;
  TRY(commit(t, c));
  return 0;
}

SyscallResult setresuid(Task& t, uint32_t ruid, uint32_t euid, uint32_t suid) {
  const uint32_t r = TRY(uid_arg(t, ruid)), e = TRY(uid_arg(t, euid)), s = TRY(uid_arg(t, suid));
  Ref<Creds> c = t.creds->clone();
  const Creds& old = *t.creds;
  auto allowed = [&](uint32_t id) {
    return id == kKeep || id == old.uid || id == old.euid || id == old.suid;
  };
  if (!c->capable(CAP_SETUID) && !(allowed(r) && allowed(e) && allowed(s))) return Err(EPERM);
  if (r != kKeep) c->uid = r;
  if (e != kKeep) c->euid = e;
  if (s != kKeep) c->suid = s;
  c->fsuid = c->euid;
  TRY(commit(t, c));
  return 0;
}

SyscallResult setresgid(Task& t, uint32_t rgid, uint32_t egid, uint32_t sgid) {
  const uint32_t r = TRY(gid_arg(t, rgid)), e = TRY(gid_arg(t, egid)), s = TRY(gid_arg(t, sgid));
  Ref<Creds> c = t.creds->clone();
  const Creds& old = *t.creds;
  auto allowed = [&](uint32_t id) {
    return id == kKeep || id == old.gid || id == old.egid || id == old.sgid;
  };
  if (!c->capable(CAP_SETGID) && !(allowed(r) && allowed(e) && allowed(s))) return Err(EPERM);
  if (r != kKeep) c->gid = r;
  if (e != kKeep) c->egid = e;
  if (s != kKeep) c->sgid = s;
  c->fsgid = c->egid;
  TRY(commit(t, c));
  return 0;
}

SyscallResult getresuid(Task& t, UserPtr<uint32_t> ruid, UserPtr<uint32_t> euid,
                        UserPtr<uint32_t> suid) {
  const UserNamespace& ns = *t.creds->user_ns;
  TRY(t.mem().put(ruid, ns.uid_out(t.creds->uid)));
  TRY(t.mem().put(euid, ns.uid_out(t.creds->euid)));
  TRY(t.mem().put(suid, ns.uid_out(t.creds->suid)));
  return 0;
}

SyscallResult getresgid(Task& t, UserPtr<uint32_t> rgid, UserPtr<uint32_t> egid,
                        UserPtr<uint32_t> sgid) {
  const UserNamespace& ns = *t.creds->user_ns;
  TRY(t.mem().put(rgid, ns.gid_out(t.creds->gid)));
  TRY(t.mem().put(egid, ns.gid_out(t.creds->egid)));
  TRY(t.mem().put(sgid, ns.gid_out(t.creds->sgid)));
  return 0;
}

// These two report no errors: they return the old id whatever happened.
SyscallResult setfsuid(Task& t, uint32_t uid) {
  const Creds& old = *t.creds;
  const uint32_t was = old.user_ns->uid_out(old.fsuid);
  auto k = old.user_ns->uid_in(uid);
  if (k && (*k == old.uid || *k == old.euid || *k == old.suid || *k == old.fsuid ||
            old.capable(CAP_SETUID))) {
    Ref<Creds> c = old.clone();
    c->fsuid = *k;
    (void)commit(t, c);
  }
  return was;
}

SyscallResult setfsgid(Task& t, uint32_t gid) {
  const Creds& old = *t.creds;
  const uint32_t was = old.user_ns->gid_out(old.fsgid);
  auto k = old.user_ns->gid_in(gid);
  if (k && (*k == old.gid || *k == old.egid || *k == old.sgid || *k == old.fsgid ||
            old.capable(CAP_SETGID))) {
    Ref<Creds> c = old.clone();
    c->fsgid = *k;
    (void)commit(t, c);
  }
  return was;
}

SyscallResult getgroups(Task& t, int32_t size, UserPtr<uint32_t> list) {
  const auto& groups = t.creds->groups;
  if (size < 0) return Err(EINVAL);
  if (size == 0) return groups.size();
  if (size_t(size) < groups.size()) return Err(EINVAL);
  std::vector<uint32_t> out;
  for (Gid g : groups) out.push_back(t.creds->user_ns->gid_out(g));
  TRY(t.mem().copy_out(list.addr, std::as_bytes(std::span(out))));
  return groups.size();
}

SyscallResult setgroups(Task& t, int32_t size, UserPtr<const uint32_t> list) {
  constexpr int kMaxGroups = 65536;
  if (!t.capable(CAP_SETGID) || !t.creds->user_ns->setgroups_allowed) return Err(EPERM);
  if (size < 0 || size > kMaxGroups) return Err(EINVAL);
  const auto given = TRY(t.mem().get_array(list, size_t(size)));
  Ref<Creds> c = t.creds->clone();
  c->groups.clear();
  for (uint32_t g : given) {
    auto k = c->user_ns->gid_in(g);
    if (!k) return Err(EINVAL);
    c->groups.push_back(*k);
  }
  std::sort(c->groups.begin(), c->groups.end());
  TRY(commit(t, c));
  return 0;
}

namespace {

constexpr uint32_t kVersion1 = 0x19980330, kVersion2 = 0x20071026, kVersion3 = 0x20080522;

// How many words of 32 capabilities a version has; EINVAL also tells the guest ours.
Result<size_t> check_version(Task& t, UserPtr<CapHeader> p, const CapHeader& h) {
  switch (h.version) {
    case kVersion1: return 1;
    case kVersion2:
    case kVersion3: return 2;
    default: break;
  }
  TRY(t.mem().put(UserPtr<uint32_t>{p.addr}, kVersion3));
  return Err(EINVAL);
}

}  // namespace

SyscallResult capget(Task& t, UserPtr<CapHeader> header, UserPtr<CapData> data) {
  const CapHeader h = TRY(t.mem().get(header));
  auto words = check_version(t, header, h);
  if (!words) {
    if (!data) return 0;  // A probe for the version.
    return std::unexpected(words.error());
  }
  if (h.pid < 0) return Err(EINVAL);
  Ref<Task> who = TRY(task_or_self(t, h.pid));
  Ref<const Creds> c;
  {
    Lock lock(task_mutex);
    c = who->creds;
  }
  if (!data) return 0;
  for (size_t i = 0; i < *words; i++) {
    const int shift = int(i) * 32;
    TRY(t.mem().put(data + i, {uint32_t(c->effective >> shift), uint32_t(c->permitted >> shift),
                               uint32_t(c->inheritable >> shift)}));
  }
  return 0;
}

SyscallResult capset(Task& t, UserPtr<CapHeader> header, UserPtr<const CapData> data) {
  const CapHeader h = TRY(t.mem().get(header));
  const size_t words = TRY(check_version(t, header, h));
  if (h.pid && h.pid != t.tid()) return Err(EPERM);
  CapSet effective = 0, permitted = 0, inheritable = 0;
  for (size_t i = 0; i < words; i++) {
    const CapData d = TRY(t.mem().get(data + i));
    const int shift = int(i) * 32;
    effective |= CapSet(d.effective) << shift;
    permitted |= CapSet(d.permitted) << shift;
    inheritable |= CapSet(d.inheritable) << shift;
  }
  effective &= kFullCaps, permitted &= kFullCaps, inheritable &= kFullCaps;
  const Creds& old = *t.creds;
  if (permitted & ~old.permitted) return Err(EPERM);
  if (effective & ~permitted) return Err(EPERM);
  const CapSet inheritable_bound = old.inheritable | old.bounding;
  if (inheritable & ~inheritable_bound) return Err(EPERM);
  if (!old.capable(CAP_SETPCAP) && (inheritable & ~(old.inheritable | old.permitted))) {
    return Err(EPERM);
  }
  Ref<Creds> c = old.clone();
  c->effective = effective, c->permitted = permitted, c->inheritable = inheritable;
  c->ambient &= permitted & inheritable;
  Lock lock(task_mutex);
  t.creds = c;
  return 0;
}

}  // namespace usk::sys
