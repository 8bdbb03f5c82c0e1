#include "net/unix/unix_namespace.h"

#include <fmt/format.h>

#include "fs/vfs/saving.h"
#include "net/unix/endpoint.h"

namespace usk {
namespace {

// Those in use. Derived: each socket holds its namespace.
struct Known {
  Mutex<Rank::kLeaf> mu;
  std::map<uint64_t, UnixNamespace*> by_id GUARDED_BY(mu);
};

Known& known() {
  static Known k;
  return k;
}

}  // namespace

USK_SAVED(UnixNamespace, "net/unix/namespace")

OrFailure<void> UnixNamespace::restored(state::Restored&) {
  {
    Lock lock(mu_);
    for (const auto& [name, endpoint] : bound_) {
      if (!endpoint) return fail("a name of nobody");
    }
  }
  if (network_id_ == 0) return {};
  Known& k = known();
  Lock lock(k.mu);
  k.by_id[network_id_] = this;
  return {};
}

Ref<UnixNamespace> UnixNamespace::of(uint64_t network_id) {
  auto fresh = make_ref<UnixNamespace>();
  Known& k = known();
  Lock lock(k.mu);
  UnixNamespace*& entry = k.by_id[network_id];
  if (entry && entry->try_ref()) {
    return Ref<UnixNamespace>::adopt(entry);
  }
  fresh->network_id_ = network_id;
  entry = fresh.get();
  return fresh;
}

UnixNamespace::~UnixNamespace() {
  if (network_id_ == 0) return;
  Known& k = known();
  Lock lock(k.mu);
  auto it = k.by_id.find(network_id_);
  if (it != k.by_id.end() && it->second == this) k.by_id.erase(it);
}

Result<void> UnixNamespace::add(int type, const std::string& name, Ref<UnixEndpoint> endpoint) {
  Lock lock(mu_);
  if (!bound_.try_emplace({type, name}, std::move(endpoint)).second) return Err(EADDRINUSE);
  return {};
}

Result<std::string> UnixNamespace::add_any(int type, Ref<UnixEndpoint> endpoint) {
  constexpr uint32_t kNames = 1 << 20;
  Lock lock(mu_);
  for (uint32_t tries = 0; tries < kNames; ++tries) {
    const std::string name = fmt::format("{:05x}", next_++ % kNames);
    if (bound_.try_emplace({type, name}, endpoint).second) return name;
  }
  return Err(ENOSPC);
}

void UnixNamespace::remove(int type, const std::string& name) {
  Ref<UnixEndpoint> dropped;  // Released after the lock.
  Lock lock(mu_);
  auto it = bound_.find({type, name});
  if (it == bound_.end()) return;
  dropped = std::move(it->second);
  bound_.erase(it);
}

Result<Ref<UnixEndpoint>> UnixNamespace::find(int type, const std::string& name) {
  Lock lock(mu_);
  auto it = bound_.find({type, name});
  if (it == bound_.end()) return Err(ECONNREFUSED);
  return it->second;
}

}  // namespace usk
