// What a core file is called: core(5), "Naming of core dump files".
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace usk {

// What the specifiers of a pattern stand for.
struct CoreFacts {
  int pid = 0, root_pid = 0, tid = 0, root_tid = 0;
  uint32_t uid = 0, gid = 0;
  int dumpable = 0, signal = 0;
  int64_t time = 0;
  std::string host, comm;
  std::string executable;  // As a path.
  uint64_t limit = 0;      // RLIMIT_CORE
  int cpu = 0;
};

// The file that `pattern` names. `uses_pid`: with the process id at its end, if it has none.
std::string core_name(std::string_view pattern, bool uses_pid, const CoreFacts& facts);
// Of a pattern that begins with '|': the program and its arguments. Words are split before they are
// expanded, so that a name with blanks stays one.
std::vector<std::string> core_command(std::string_view pattern, const CoreFacts& facts);

}  // namespace usk
