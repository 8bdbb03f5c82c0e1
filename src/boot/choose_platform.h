// Which platform runs the guest: --platform.
#pragma once
#include <memory>
#include <string>

#include "base/failure.h"
#include "platform/platform.h"

namespace usk {

// "trap", "ptrace", or "auto": the first of these that this host can give. With -v it is said
// which one and why.
OrFailure<std::unique_ptr<platform::Platform>> choose_platform(const std::string& name);

}  // namespace usk
