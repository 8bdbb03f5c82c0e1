#include "creds/creds.h"

#include <algorithm>

namespace usk {

Ref<Creds> Creds::clone() const {
  auto c = make_ref<Creds>();
  c->uid = uid, c->euid = euid, c->suid = suid, c->fsuid = fsuid;
  c->gid = gid, c->egid = egid, c->sgid = sgid, c->fsgid = fsgid;
  c->groups = groups;
  c->inheritable = inheritable, c->permitted = permitted, c->effective = effective;
  c->bounding = bounding, c->ambient = ambient;
  c->securebits = securebits, c->no_new_privs = no_new_privs;
  c->user_ns = user_ns;
  return c;
}

bool Creds::capable(int cap, const UserNamespace& ns) const {
  for (const UserNamespace* n = &ns;; n = n->parent().get()) {
    if (n == user_ns.get()) return effective & cap_bit(cap);
    // The owner of a namespace, acting from its parent, has every capability in it.
    if (n->parent() == user_ns && n->owner() == euid) return true;
    if (n->is_initial()) return false;
  }
}

bool Creds::capable_in_root(int cap) const {
  return user_ns->is_initial() && (effective & cap_bit(cap));
}

bool Creds::in_group(Gid g) const {
  return g == fsgid || std::find(groups.begin(), groups.end(), g) != groups.end();
}

Ref<Creds> root_creds(Ref<UserNamespace> ns) {
  auto c = make_ref<Creds>();
  c->permitted = c->effective = kFullCaps;
  c->user_ns = std::move(ns);
  return c;
}

}  // namespace usk
