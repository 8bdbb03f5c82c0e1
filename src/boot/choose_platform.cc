#include "boot/choose_platform.h"

#include <fmt/format.h>

#include "base/log.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/trap/trap_platform.h"

namespace usk {

OrFailure<std::unique_ptr<platform::Platform>> choose_platform(const std::string& name) {
  if (name == "trap") return platform::TrapPlatform::make();
  if (name == "ptrace") return platform::PtracePlatform::make();
  if (name != "auto") {
    return fail(fmt::format("--platform={}: there are auto, trap and ptrace", name));
  }
  auto trap = platform::TrapPlatform::make();
  if (trap) {
    LOG_INFO("platform: trap, the fastest there is");
    return trap;
  }
  LOG_INFO("platform: ptrace, since trap cannot be had: {}", trap.error().message);
  return platform::PtracePlatform::make();
}

}  // namespace usk
