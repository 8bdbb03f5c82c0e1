// Starts programs from outside: the sandbox's command, and those of usk exec.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/failure.h"
#include "boot/stdio.h"
#include "fs/vfs/walk.h"
#include "kernel/kernel.h"

namespace usk {

// Where a program's standard streams come from.
struct StreamSource {
  std::shared_ptr<HostPoller> poller;
  HostTerminal* terminal = nullptr;     // Becomes its console and controlling terminal, or null.
  const StdStreams* streams = nullptr;  // Null: this process's own.
  RemoteTerminal* remote = nullptr;     // If given, all three and the controlling terminal.
};

struct CommandSpec {
  std::vector<std::string> argv, env;
  std::string cwd;   // Absolute; empty: the root.
  std::string user;  // As --user takes it.
  std::array<rlimit64, RLIM_NLIMITS> limits;
};

// Limits of a new process; `pids` as SandboxConfig has it.
std::array<rlimit64, RLIM_NLIMITS> default_limits(uint64_t pids);

// Sets NAME=VALUE entries, in place of those of the same name.
void merge_environment(std::vector<std::string>& env, const std::vector<std::string>& given);

// Finds the command along PATH, loads it and makes it a child of init in a session of its own,
// ready to run. Failures have the exit code that goes with them (126, 127).
OrFailure<Ref<ThreadGroup>> start_command(Kernel& kernel, const WalkContext& root,
                                          const CommandSpec& spec, const StreamSource& source);

// SyscallHooks::start_helper: a child of init as root, with an empty environment. Its own crash
// makes no core and starts no further helper (core(5): its RLIMIT_CORE is 1).
Result<void> start_helper(Kernel& kernel, const std::vector<std::string>& argv, Ref<File> input);

}  // namespace usk
