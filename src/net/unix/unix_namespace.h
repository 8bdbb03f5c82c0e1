// Where abstract socket names live: unix(7), network_namespaces(7).
#pragma once
#include <map>
#include <string>

#include "base/failure.h"
#include "base/fields.h"
#include "base/lock.h"
#include "base/ref.h"
#include "base/result.h"

namespace usk {

class UnixEndpoint;

// The abstract names of one network namespace. Names of sockets of different types do not meet.
class UnixNamespace final : public RefCounted {
 public:
  UnixNamespace() = default;
  // The one of the network namespace with this id, made where nobody uses it yet.
  static Ref<UnixNamespace> of(uint64_t network_id);
  ~UnixNamespace() override;
  // EADDRINUSE
  Result<void> add(int type, const std::string& name, Ref<UnixEndpoint> endpoint) EXCLUDES(mu_);
  // A free name of five hex digits: Linux's autobind. ENOSPC when all are taken.
  Result<std::string> add_any(int type, Ref<UnixEndpoint> endpoint) EXCLUDES(mu_);
  void remove(int type, const std::string& name) EXCLUDES(mu_);
  // ECONNREFUSED
  Result<Ref<UnixEndpoint>> find(int type, const std::string& name) EXCLUDES(mu_);

  USK_FIELDS(network_id_, bound_, next_)
  OrFailure<void> restored(state::Restored&) EXCLUDES(mu_);

 private:
  uint64_t network_id_ = 0;  // 0: of no network namespace.
  Mutex<Rank::kLeaf> mu_;
  std::map<std::pair<int, std::string>, Ref<UnixEndpoint>> bound_ GUARDED_BY(mu_);
  uint32_t next_ GUARDED_BY(mu_) = 0;
};

}  // namespace usk
