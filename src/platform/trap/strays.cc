#include "platform/trap/strays.h"

#include <signal.h>

#include "base/log.h"
#include "host/process.h"

namespace usk::platform {

void Strays::look(int64_t now, const std::function<bool(pid_t)>& is_known) {
  for (const pid_t pid : host::children_running("usk-stub")) {
    if (is_known(pid)) continue;
    LOG_INFO("a stub process is killed: nobody knows it");
    host::kill_process(pid, SIGKILL);
  }
  next_ = now < end_ ? now + kEveryNs : INT64_MAX;
}

}  // namespace usk::platform
