#include "host/machine.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include "host/call.h"

namespace usk::host {

Machine machine() {
  Machine m;
  struct sysinfo s{};
  if (guarded(SYS_sysinfo, &s) == 0) {
    m.memory_total = s.totalram * s.mem_unit;
    m.memory_free = (s.freeram + s.bufferram) * s.mem_unit;
  }
  cpu_set_t set;
  CPU_ZERO(&set);
  if (guarded(SYS_sched_getaffinity, 0, sizeof set, &set) >= 0) m.cpus = CPU_COUNT(&set);
  return m;
}

}  // namespace usk::host
