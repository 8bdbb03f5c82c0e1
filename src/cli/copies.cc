#include "cli/copies.h"

#include <fmt/format.h>

#include <vector>

#include "cli/commands.h"
#include "host/process.h"
#include "host/stream.h"

namespace usk {

OrFailure<int> run_copies(int copies, const std::string& name,
                          const std::function<int(const std::string& name)>& run) {
  std::vector<pid_t> pids;
  for (int i = 1; i <= copies; i++) {
    pids.push_back(TRY(host::start_copy_of_self([&] {
      host::replace_with_null(0);
      return run(name.empty() ? "" : fmt::format("{}-{}", name, i));
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
