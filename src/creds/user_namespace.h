// user_namespaces(7): a tree of id translations.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/ref.h"

namespace usk {

// One line of /proc/PID/uid_map: ids [inside, inside+count) are [outside, outside+count) of the
// parent namespace.
struct IdExtent {
  uint32_t inside, outside, count;
  USK_FIELDS(inside, outside, count)
};

class UserNamespace final : public RefCounted {
 public:
  // Linux: the id that stands for one without a mapping (/proc/sys/kernel/overflowuid).
  static constexpr uint32_t kOverflowId = 65534;
  static constexpr int kMaxDepth = 32;

  // The initial namespace, in which each id is itself.
  static Ref<UserNamespace> make_initial();
  // A child of `parent`, made by the (kernel) ids `owner`, `owner_group`; no map yet.
  static Ref<UserNamespace> make_child(Ref<UserNamespace> parent, uint32_t owner,
                                       uint32_t owner_group);

  const Ref<UserNamespace>& parent() const { return parent_; }
  uint32_t owner() const { return owner_; }
  uint32_t owner_group() const { return owner_group_; }
  int depth() const { return depth_; }
  uint64_t id() const { return id_; }  // The inode number of /proc/PID/ns/user.
  bool is_initial() const { return !parent_; }
  // Whether this is `of` or one of its ancestors.
  bool is_ancestor_of(const UserNamespace& of) const;

  // Kernel id of an id inside; nothing when it has no mapping.
  std::optional<uint32_t> uid_in(uint32_t inside) const { return to_kernel(uid_map_, inside); }
  std::optional<uint32_t> gid_in(uint32_t inside) const { return to_kernel(gid_map_, inside); }
  // Id inside of a kernel id; kOverflowId when it has none.
  uint32_t uid_out(uint32_t kernel_id) const { return from_kernel(uid_map_, kernel_id); }
  uint32_t gid_out(uint32_t kernel_id) const { return from_kernel(gid_map_, kernel_id); }
  bool maps_uid(uint32_t kernel_id) const { return maps(uid_map_, kernel_id); }
  bool maps_gid(uint32_t kernel_id) const { return maps(gid_map_, kernel_id); }

  const std::vector<IdExtent>& uid_map() const { return uid_map_; }
  const std::vector<IdExtent>& gid_map() const { return gid_map_; }
  // The maps are written once (the caller checks who may): extents given towards the parent
  // are stored towards the initial namespace. False if the parent does not map them all.
  bool set_uid_map(const std::vector<IdExtent>& extents);
  bool set_gid_map(const std::vector<IdExtent>& extents);
  bool setgroups_allowed = true;

  USK_FIELDS(parent_, owner_, owner_group_, depth_, id_, uid_map_, gid_map_, setgroups_allowed)
  OrFailure<void> restored(state::Restored&);

 private:
  friend state::Access;
  UserNamespace() = default;
  using Map = std::vector<IdExtent>;
  static std::optional<uint32_t> to_kernel(const Map& map, uint32_t inside);
  static uint32_t from_kernel(const Map& map, uint32_t kernel_id);
  static bool maps(const Map& map, uint32_t kernel_id);
  static bool translate(const Map& parent, const std::vector<IdExtent>& extents, Map& out);

  Ref<UserNamespace> parent_;
  uint32_t owner_ = 0, owner_group_ = 0;
  int depth_ = 0;
  uint64_t id_ = 0;
  Map uid_map_, gid_map_;  // `outside` is an id of the initial namespace.
};

// A fresh number for a namespace object, shown as its inode in /proc/PID/ns.
uint64_t next_namespace_id();

}  // namespace usk
