// What a person asks of a sandbox: the flags of `usk run`, checked and made plain.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace usk {

// --ro, --rw, --tmpfs
struct MountSpec {
  enum class Kind { kReadOnly, kReadWrite, kCopyOnWrite, kTmpfs } kind;
  std::string source;  // A host directory or file; empty for tmpfs.
  std::string target;  // Absolute, in the sandbox.
};

struct SandboxConfig {
  std::vector<std::string> command;
  std::string root;  // Empty: the host's system directories, copy-on-write.
  std::vector<MountSpec> mounts;
  std::string cwd;  // In the sandbox; empty: the caller's.
  std::vector<std::string> env;
  std::string user;  // "", "name", "uid" or "uid:gid".
  std::string hostname = "usk";
  uint64_t memory = UINT64_MAX;
  uint64_t pids = 0;  // 0: no limit but the kernel's own.
  int64_t timeout_ns = 0;
  std::string platform = "auto";
  bool trace = false;
  std::string trace_file;  // Empty: standard error.
  bool report_unsupported = false;
  int verbose = 0;
  std::string name;
};

}  // namespace usk
