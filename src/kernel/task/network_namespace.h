// network_namespaces(7)
#pragma once
#include "kernel/task/namespaces.h"
#include "net/inet/network.h"

namespace usk {

class NetworkNamespace final : public PlainNamespace {
 public:
  // `up`: its device is up at once, as the initial one's is.
  NetworkNamespace(Ref<UserNamespace> owner, bool up)
      : PlainNamespace(owner), network_(make_ref<InetNetwork>(owner, up)) {}
  explicit NetworkNamespace(Blank b) : PlainNamespace(b) {}
  const Ref<InetNetwork>& network() const { return network_; }
  USK_FIELDS_OF(PlainNamespace, network_)
  OrFailure<void> restored(state::Restored&);

 private:
  Ref<InetNetwork> network_;
};

// Null: the sandbox was saved by a build that knew no networks, and has none.
Ref<InetNetwork> network_of(PlainNamespace& ns);

}  // namespace usk
