// Namespaces of the kernel process's own, which its stubs share: namespaces(7).
#pragma once
#include <sys/types.h>

#include <memory>
#include <string>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// What a process of ours is to have of its own.
enum class Separate : uint8_t {
  kUser,  // The user namespace alone.
  kAll,   // Network, IPC, UTS and cgroup namespaces, too.
};

// Namespaces that are being made by a child, which may take another processor for it: a network
// namespace takes the host half a millisecond. In the user namespace each id is itself, as far as
// this process may say so (CAP_SETUID, CAP_SETGID), else its own alone; others are then nobody's.
// Privileges count for the system no longer, and for files as far as ids are known.
class NewNamespaces {
 public:
  // The process must have one thread.
  static Result<std::unique_ptr<NewNamespaces>> begin(Separate what);
  ~NewNamespaces();
  NewNamespaces(const NewNamespaces&) = delete;
  NewNamespaces& operator=(const NewNamespaces&) = delete;

  // This process is in all of them, or in none.
  Result<void> enter();

 private:
  NewNamespaces() = default;
  bool child_is_ready();

  pid_t child_ = -1;
  UniqueFd pidfd_;
};

// Network, IPC, UTS and cgroup namespaces without a user namespace; EPERM without CAP_SYS_ADMIN.
Result<void> enter_namespaces();

// What keeps this host from giving NewNamespaces, and how to get them.
std::string how_to_get_namespaces();

}  // namespace usk::host
