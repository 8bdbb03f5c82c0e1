#include "creds/user_namespace.h"

#include <atomic>

#include "base/id_counter.h"
#include "creds/creds.h"
#include "state/saved.h"

namespace usk {

USK_SAVED(UserNamespace, "creds/user-namespace")
USK_SAVED(Creds, "creds/creds")

OrFailure<void> UserNamespace::restored(state::Restored&) {
  int depth = 0;
  for (const UserNamespace* n = parent_.get(); n; n = n->parent_.get()) {
    if (++depth > kMaxDepth + 1) return fail("a namespace within itself");
  }
  if (depth != depth_) return fail("another depth");
  return {};
}

uint64_t next_namespace_id() {
  static IdCounter ids("namespace", 4026531834);  // Where Linux's own numbers begin.
  return ids.next();
}

Ref<UserNamespace> UserNamespace::make_initial() {
  auto ns = Ref<UserNamespace>::adopt(new UserNamespace);
  ns->id_ = next_namespace_id();
  ns->uid_map_ = ns->gid_map_ = {{0, 0, UINT32_MAX}};
  return ns;
}

Ref<UserNamespace> UserNamespace::make_child(Ref<UserNamespace> parent, uint32_t owner,
                                             uint32_t owner_group) {
  auto ns = Ref<UserNamespace>::adopt(new UserNamespace);
  ns->depth_ = parent->depth_ + 1;
  ns->setgroups_allowed = parent->setgroups_allowed;
  ns->parent_ = std::move(parent);
  ns->owner_ = owner;
  ns->owner_group_ = owner_group;
  ns->id_ = next_namespace_id();
  return ns;
}

bool UserNamespace::is_ancestor_of(const UserNamespace& of) const {
  for (const UserNamespace* n = &of; n; n = n->parent_.get()) {
    if (n == this) return true;
  }
  return false;
}

std::optional<uint32_t> UserNamespace::to_kernel(const Map& map, uint32_t inside) {
  for (const IdExtent& e : map) {
    if (inside >= e.inside && inside - e.inside < e.count) return e.outside + (inside - e.inside);
  }
  return std::nullopt;
}

uint32_t UserNamespace::from_kernel(const Map& map, uint32_t kernel_id) {
  for (const IdExtent& e : map) {
    if (kernel_id >= e.outside && kernel_id - e.outside < e.count) {
      return e.inside + (kernel_id - e.outside);
    }
  }
  return kOverflowId;
}

bool UserNamespace::maps(const Map& map, uint32_t kernel_id) {
  for (const IdExtent& e : map) {
    if (kernel_id >= e.outside && kernel_id - e.outside < e.count) return true;
  }
  return false;
}

bool UserNamespace::translate(const Map& parent, const std::vector<IdExtent>& extents, Map& out) {
  for (const IdExtent& e : extents) {
    bool found = false;
    for (const IdExtent& p : parent) {
      if (e.outside >= p.inside && e.outside - p.inside < p.count &&
          e.count <= p.count - (e.outside - p.inside)) {
        out.push_back({e.inside, p.outside + (e.outside - p.inside), e.count});
        found = true;
        break;
      }
    }
    if (!found) return false;
  }
  return true;
}

bool UserNamespace::set_uid_map(const std::vector<IdExtent>& extents) {
  Map map;
  if (!parent_ || !translate(parent_->uid_map_, extents, map)) return false;
  uid_map_ = std::move(map);
  return true;
}

bool UserNamespace::set_gid_map(const std::vector<IdExtent>& extents) {
  Map map;
  if (!parent_ || !translate(parent_->gid_map_, extents, map)) return false;
  gid_map_ = std::move(map);
  return true;
}

}  // namespace usk
