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
  std::vector<std::string> command;  // Empty: what the image of the root says.
  // Empty: the host's system directories, copy-on-write. A directory, a tar archive or an image.
  std::string root;
  std::vector<MountSpec> mounts;
  std::string cwd;               // In the sandbox; empty: the caller's, or what the image says.
  std::vector<std::string> env;  // From the caller's; an image's own goes before.
  std::vector<std::string> given_env;  // --env, before all.
  std::string user;                    // "", "name", "uid" or "uid:gid".
  std::string hostname = "usk";
  uint64_t memory = UINT64_MAX;
  uint64_t pids = 0;  // 0: no limit but the kernel's own.
  int64_t timeout_ns = 0;
  std::string platform = "auto";
  bool old_seccomp_order = false;  // --seccomp-stop-order=3.5
  std::string edges_file;          // Where the edges of the run-state graph that were taken go.
  bool trace = false;
  std::string trace_file;  // Empty: standard error.
  bool report_unsupported = false;
  int verbose = 0;
  std::string name;
};

}  // namespace usk
