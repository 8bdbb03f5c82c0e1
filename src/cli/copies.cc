#include "cli/copies.h"

#include <fmt/format.h>

#include <vector>

#include "boot/sandbox.h"
#include "cli/commands.h"
#include "cli/leave.h"
#include "host/process.h"
#include "host/stream.h"

namespace usk {

int run_copy(SandboxConfig config, const RestoreRequest& request) {
  config.confined = kConfines;
  auto sandbox = Sandbox::restore(config, request);
  if (!sandbox) return report(sandbox.error());
  const int status = (*sandbox)->run();
  return leave(std::move(*sandbox), exit_code(status));
}

OrFailure<int> run_copies(int copies, const SandboxConfig& config, const RestoreRequest& request) {
  std::vector<pid_t> pids;
  for (int i = 1; i <= copies; i++) {
    pids.push_back(TRY(host::start_copy_of_self([&] {
      host::replace_with_null(0);
      SandboxConfig own = config;
      if (!own.name.empty()) own.name += fmt::format("-{}", i);
      return run_copy(std::move(own), request);
    })));
  }
  int code = 0;
  for (const pid_t pid : pids) {
    const int status = TRY(host::wait_for_copy(pid));
    if (code == 0) code = exit_code(status);
  }
  return code;
}

}  // namespace usk
