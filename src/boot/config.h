// What a person asks of a sandbox: the flags of `usk run`, checked and made plain.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "policy/learn.h"
#include "policy/policy.h"

namespace usk {

// --ro, --rw, --tmpfs
struct MountSpec {
  enum class Kind { kReadOnly, kReadWrite, kCopyOnWrite, kTmpfs } kind;
  std::string source;  // A host directory or file; empty for tmpfs.
  std::string target;  // Absolute, in the sandbox.
};

// Where a sandbox keeps images of itself.
struct ImagesPlan {
  std::string dir;          // Empty: nowhere.
  uint64_t keep = 5;        // The oldest go.
  bool compressed = false;  // --compress
  bool refers = false;      // Images may refer to earlier ones there.
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
  uint64_t memory = UINT64_MAX;  // That: most of what the host has. 0: no limit.
  uint64_t pids = 0;             // 0: no limit but the kernel's own.
  int64_t timeout_ns = 0;
  std::string platform = "auto";
  bool old_seccomp_order = false;  // --seccomp-stop-order=3.5
  std::string edges_file;          // Where the edges of the run-state graph that were taken go.
  // --test-autosave: descriptors for the files of the next image, and when.
  std::vector<int> autosave_files;
  std::string autosave_plan;
  ImagesPlan autosave;      // --autosave
  int64_t autosave_ns = 0;  // ... and how often.
  ImagesPlan asked;         // --checkpoints: those that programs inside ask for.
  bool trace = false;
  std::string trace_file;  // Empty: standard error.
  bool report_unsupported = false;
  int verbose = 0;
  std::string name;
  bool exit_wait_all = false;  // Not the command's end ends the sandbox, but that of the last.
  std::string watchdog;        // "", "log" or "kill".
  bool confined = false;       // What usk run sets: the process is to confine itself.
  std::vector<std::string> unsafe_without;  // Layers of confinement to do without.
  std::string host_calls_file;           // For tests: its calls are written down, none is refused.
  std::optional<policy::Policy> policy;  // --policy, --policy-rule
  bool policy_warn_only = false;
  bool explain = false;
  std::string audit_file;
  std::string saved_policy;              // Of an image: boot/saved_policy.h.
  std::shared_ptr<policy::Deeds> learn;  // Where `usk learn` notes what the program does.
};

}  // namespace usk
