// Which sandboxes of this user run: one directory each in the user's runtime directory.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/failure.h"
#include "base/ref.h"
#include "host/host_fd.h"

namespace usk {

struct SandboxEntry {
  std::string id;    // Twelve hexadecimal digits.
  std::string name;  // Empty when none was given.
  int pid = 0;       // Of the kernel process, on the host.
  std::string status = "running";
  std::string created;  // RFC 3339, UTC.
  std::vector<std::string> command;
};

// Every sandbox whose process lives, oldest first. Removes what dead ones left.
OrFailure<std::vector<SandboxEntry>> list_sandboxes();

// By name, id or the unambiguous beginning of an id.
OrFailure<SandboxEntry> find_sandbox(const std::string& wanted);

// A connection to its control socket.
OrFailure<UniqueFd> connect_sandbox(const SandboxEntry& entry);

// Whether a person may call a sandbox so.
bool is_valid_name(const std::string& name);

// This process's own entry, as long as it lives.
class Registration {
 public:
  // Makes the directory and its listening socket. Fails when another sandbox has the name.
  static OrFailure<std::unique_ptr<Registration>> make(const std::string& name,
                                                       const std::vector<std::string>& command);
  ~Registration();
  const SandboxEntry& entry() const { return entry_; }
  int socket() const { return socket_.get(); }
  // Where it lies, and what of it is this sandbox's.
  const HostFd& runtime() const { return *runtime_; }
  const Ref<HostFd>& directory() const { return directory_; }
  const std::string& path() const { return path_; }
  // What `usk list` shows: "running", "paused".
  OrFailure<void> set_status(std::string status);

 private:
  Registration() = default;
  OrFailure<void> write_entry();

  Ref<HostFd> runtime_, directory_;
  std::string path_;  // Of directory_.
  SandboxEntry entry_;
  uint64_t start_ = 0;  // Of the process, as /proc/PID/stat has it.
  UniqueFd socket_;
};

}  // namespace usk
