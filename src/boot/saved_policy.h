// A sandbox's policy in its image.
#pragma once
#include "boot/config.h"
#include "enforce/enforcer.h"

namespace usk {

// For SandboxConfig::saved_policy.
OrFailure<std::string> save_policy(const Enforcer& enforcer, const SandboxConfig& config);

// What `config.saved_policy` says, if anything, goes to the other members; the result is for
// Enforcer::make(). A sandbox that wrote an audit log does not go on without one.
OrFailure<std::optional<EnforcerState>> restore_policy(SandboxConfig& config);

}  // namespace usk
