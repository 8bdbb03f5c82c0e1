#include "net/unix/unix_namespace.h"

#include <fmt/format.h>

#include "net/unix/endpoint.h"

namespace usk {

UnixNamespace::~UnixNamespace() = default;

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
