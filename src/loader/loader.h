// Loading programs: execve(2), elf(5).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "fs/vfs/walk.h"
#include "kernel/task/exec.h"

namespace usk {

struct LoadRequest {
  Path file;         // What is to be run.
  std::string name;  // As the caller named it: argv[0] of scripts, AT_EXECFN.
  std::vector<std::string> argv, envp;
  WalkContext walk;
  Ref<const Creds> creds;
  uint32_t personality = 0;
  bool traced = false;  // By somebody who may not have what the file's mode would give.
  // Named by a close-on-exec descriptor: an interpreter could not open it again.
  bool by_cloexec_fd = false;
  MemoryLimits limits;
};

// Bounds on arguments: execve(2), "Limits on size of arguments and environment".
constexpr size_t kMaxArgLength = 131072;  // MAX_ARG_STRLEN
constexpr size_t kMaxArgTotal = 6 << 20;

// Puts the program into an address space of its own. Errors as execve(2).
Result<std::shared_ptr<ExecImage>> load_program(Kernel& kernel, LoadRequest request);

// Reads from the file behind `path`; opening needs execute permission only.
Result<Ref<File>> open_executable(const WalkContext& walk, const Path& path);

}  // namespace usk
