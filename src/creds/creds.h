// Who acts: credentials(7), capabilities(7), user_namespaces(7).
#pragma once
#include <cstdint>
#include <vector>

#include "base/fields.h"
#include "base/ref.h"
#include "creds/user_namespace.h"

namespace usk {

using Uid = uint32_t;
using Gid = uint32_t;

// Sets of capabilities, bit n is CAP_n.
using CapSet = uint64_t;
constexpr int kLastCap = 40;  // CAP_CHECKPOINT_RESTORE
constexpr CapSet kFullCaps = (CapSet(1) << (kLastCap + 1)) - 1;
constexpr CapSet cap_bit(int cap) { return CapSet(1) << cap; }

// The credentials of a task. Immutable once published: a change makes a copy, so a holder (an
// open file, a walk) keeps seeing one consistent set. Ids are those of the initial user
// namespace (Linux's kuid_t); user namespaces translate at the edge.
struct Creds final : RefCounted {
  Creds() = default;
  // A copy to change before it is published.
  Ref<Creds> clone() const;

  Uid uid = 0, euid = 0, suid = 0, fsuid = 0;
  Gid gid = 0, egid = 0, sgid = 0, fsgid = 0;
  std::vector<Gid> groups;  // Supplementary groups, at most NGROUPS_MAX.
  CapSet inheritable = 0, permitted = 0, effective = 0, bounding = kFullCaps, ambient = 0;
  uint32_t securebits = 0;
  bool no_new_privs = false;
  Ref<UserNamespace> user_ns;

  // Whether the effective set holds `cap` towards `ns` (capabilities(7), user_namespaces(7)).
  bool capable(int cap, const UserNamespace& ns) const;
  // ... towards the namespace of these credentials themselves.
  bool capable(int cap) const { return effective & cap_bit(cap); }
  // ... towards the initial user namespace.
  bool capable_in_root(int cap) const;
  // fsgid or a supplementary group.
  bool in_group(Gid gid) const;

  USK_FIELDS(uid, euid, suid, fsuid, gid, egid, sgid, fsgid, groups, inheritable, permitted,
             effective, bounding, ambient, securebits, no_new_privs, user_ns)
};

// Root's credentials in `ns`.
Ref<Creds> root_creds(Ref<UserNamespace> ns);

}  // namespace usk
