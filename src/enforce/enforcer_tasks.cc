// What tasks become, and how they return from signals.
#include <fmt/format.h>

#include "enforce/enforcer.h"

namespace usk {

using policy::IdKind;
using policy::Option;

// SafeSetID: who may become whom.
Result<void> Enforcer::change_id(IdKind kind, uint32_t from, uint32_t to) {
  const Option restriction = kind == IdKind::kUser ? Option::kSafeSetuid : Option::kSafeSetgid;
  if (!option(restriction)) return {};
  {
    Lock lock(mu_);
    if (policy_.may_become(kind, from, to)) return {};
  }
  return refuse_option(restriction, fmt::format("{} to {}", from, to), EPERM);
}

// A frame that no signal has made is a way to set all registers at once.
Result<void> Enforcer::signal_frame(uint64_t addr, uint64_t cookie) {
  if (option(Option::kUnsafeSigreturn) || cookie == frame_cookie(addr)) return {};
  return refuse_option(Option::kUnsafeSigreturn, "signal frame", EPERM);
}

}  // namespace usk
