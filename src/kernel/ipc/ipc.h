// What the three kinds of System V objects share: sysvipc(7).
#pragma once
#include <sys/ipc.h>

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "base/fields.h"
#include "base/ref.h"
#include "base/result.h"
#include "creds/creds.h"
#include "kernel/task/pid.h"

namespace usk {

class Task;

// A process as an object remembers it. Unlike a Pid it does not keep the numbers in use.
class PidStamp {
 public:
  PidStamp() = default;
  explicit PidStamp(const Pid& pid);
  // The number `ns` knew it by; 0 when it did not.
  int nr_in(const PidNamespace& ns) const;
  USK_FIELDS(ns_, numbers_)

 private:
  Ref<PidNamespace> ns_;
  std::vector<int> numbers_;  // By level of namespace.
};

// Who calls, as the tables need to know it.
struct IpcCaller {
  explicit IpcCaller(Task& t);
  Ref<const Creds> creds;
  PidStamp pid;
};

// Linux's kern_ipc_perm. Ids are kernel ids.
struct IpcPerm {
  int id = 0;
  key_t key = IPC_PRIVATE;
  int seq = 0;
  uint32_t mode = 0;
  Uid uid = 0, cuid = 0;
  Gid gid = 0, cgid = 0;
  USK_FIELDS(id, key, seq, mode, uid, cuid, gid, cgid)
};

class IpcObject : public RefCounted {
 public:
  IpcPerm perm;
  bool removed = false;
  USK_FIELDS(perm, removed)
};

// Whether `want` (permission bits of any class, such as 0444 or the low bits of a get call's flags)
// is granted: EACCES.
Result<void> may_use(const IpcPerm& perm, uint32_t want, const Creds& creds,
                     const UserNamespace& owner);
// IPC_SET, IPC_RMID: EPERM.
Result<void> may_control(const IpcPerm& perm, const Creds& creds, const UserNamespace& owner);
// IPC_SET: owner and permission bits. EINVAL for ids that the caller's namespace does not map.
Result<void> change_perm(IpcPerm& perm, const ipc_perm& to, const Creds& creds);
ipc_perm shown_perm(const IpcPerm& perm, const Creds& viewer);
// CLOCK_REALTIME in seconds, as the stat structures have it.
int64_t ipc_now();

// The objects of one kind in a namespace, by identifier and key. Not locked: its table is.
template <class T>
class IpcIds {
 public:
  // Linux: an identifier is a slot and a sequence number, so that stale ones are told apart.
  static constexpr int kSlots = 32768;

  Result<T*> get(int id) const {
    T* found = id < 0 ? nullptr : at_slot(id % kSlots);
    if (!found || found->perm.id != id) return Err(EINVAL);
    return found;
  }
  // SHM_STAT and the like address by slot.
  Result<T*> get_slot(int slot) const {
    T* found = at_slot(slot);
    if (!found) return Err(EINVAL);
    return found;
  }
  T* find_key(key_t key) const {
    auto it = by_key_.find(key);
    return it == by_key_.end() ? nullptr : it->second;
  }
  size_t size() const { return slots_.size(); }
  // Of all used slots; 0 when there is none.
  int highest_slot() const { return slots_.empty() ? 0 : slots_.rbegin()->first; }
  const std::map<int, Ref<T>>& all() const { return slots_; }

  // What the next object gets. Linux: the next free slot behind the last one given, up to a bound
  // that grows with the number of objects, then from the start with a new sequence number.
  int next_id() const {
    constexpr int kAlwaysCycled = 64;
    const int bound = std::clamp(int(slots_.size()) * 3 / 2, kAlwaysCycled, kSlots);
    int slot = free_slot(last_slot_ + 1);
    if (slot >= bound) slot = free_slot(0);
    return (slot <= last_slot_ ? (seq_ + 1) % (INT32_MAX / kSlots) : seq_) * kSlots + slot;
  }
  // Gives the object its identifier. ENOSPC.
  Result<void> add(Ref<T> object, size_t max) {
    if (slots_.size() >= std::min<size_t>(max, kSlots)) return Err(ENOSPC);
    object->perm.id = next_id();
    object->perm.seq = seq_ = object->perm.id / kSlots;
    const int slot = last_slot_ = object->perm.id % kSlots;
    if (slot == next_) next_++;
    free_.erase(slot);
    if (object->perm.key != IPC_PRIVATE) by_key_[object->perm.key] = object.get();
    slots_.emplace(slot, std::move(object));
    return {};
  }
  // The key is free for another object; the identifier stays valid.
  void forget_key(T& object) {
    if (object.perm.key != IPC_PRIVATE) by_key_.erase(object.perm.key);
    object.perm.key = IPC_PRIVATE;
  }
  // The last count may go with the result.
  Ref<T> remove(T& object) {
    object.removed = true;
    forget_key(object);
    const int slot = object.perm.id % kSlots;
    Ref<T> held = std::move(slots_.at(slot));
    slots_.erase(slot);
    free_.insert(slot);
    return held;
  }

  USK_FIELDS(slots_, next_, last_slot_, seq_)
  // Rebuilds what is derived of a loaded one; false: it cannot be.
  bool restore() {
    if (next_ < 0 || next_ > kSlots || last_slot_ < -1 || last_slot_ >= kSlots || seq_ < 0)
      return false;
    for (int slot = 0; slot < next_; slot++) free_.insert(slot);
    for (const auto& [slot, object] : slots_) {
      if (!object || object->perm.id < 0 || object->perm.id % kSlots != slot) return false;
      if (!free_.erase(slot)) return false;
      const key_t key = object->perm.key;
      if (key != IPC_PRIVATE && !by_key_.emplace(key, object.get()).second) return false;
    }
    return true;
  }

 private:
  int free_slot(int from) const {
    auto it = free_.lower_bound(from);
    return it != free_.end() ? *it : next_;
  }
  T* at_slot(int slot) const {
    auto it = slots_.find(slot);
    return it == slots_.end() ? nullptr : it->second.get();
  }
  std::map<int, Ref<T>> slots_;
  std::map<key_t, T*> by_key_;  // Of slots_.
  std::set<int> free_;          // Below next_.
  int next_ = 0, last_slot_ = -1, seq_ = 0;
};

// What shmget(2), semget(2) and msgget(2) have in common. `check` looks at an object that exists,
// `make` makes a new one.
template <class T, class Check, class Make>
Result<int> ipc_get(IpcIds<T>& ids, key_t key, int flags, size_t max, const Creds& creds,
                    const UserNamespace& owner, Check check, Make make) {
  T* found = key == IPC_PRIVATE ? nullptr : ids.find_key(key);
  if (found) {
    if ((flags & IPC_CREAT) && (flags & IPC_EXCL)) return Err(EEXIST);
    TRY(check(*found));
    TRY(may_use(found->perm, uint32_t(flags), creds, owner));
    return found->perm.id;
  }
  if (key != IPC_PRIVATE && !(flags & IPC_CREAT)) return Err(ENOENT);
  if (ids.size() >= max) return Err(ENOSPC);
  Ref<T> made = TRY(make());
  made->perm = {.key = key,
                .mode = uint32_t(flags) & 0777,
                .uid = creds.euid,
                .cuid = creds.euid,
                .gid = creds.egid,
                .cgid = creds.egid};
  TRY(ids.add(made, max));
  return made->perm.id;
}

}  // namespace usk
