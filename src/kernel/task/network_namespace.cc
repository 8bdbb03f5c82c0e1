#include "kernel/task/network_namespace.h"

#include "state/saved.h"

namespace usk {

USK_SAVED(NetworkNamespace, "kernel/network_namespace")

OrFailure<void> NetworkNamespace::restored(state::Restored&) {
  if (!owner() || !network_) return fail("a network namespace without a network");
  return {};
}

Ref<InetNetwork> network_of(PlainNamespace& ns) {
  auto* net = dynamic_cast<NetworkNamespace*>(&ns);
  return net ? net->network() : Ref<InetNetwork>();
}

}  // namespace usk
