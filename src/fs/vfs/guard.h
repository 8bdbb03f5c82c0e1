// The policy as files and sockets ask it: policy/README.md. Installed once, before any guest runs.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "fs/vfs/path.h"
#include "policy/address.h"
#include "policy/category.h"
#include "policy/id_kind.h"

namespace usk {

class File;
class ThreadGroup;
using policy::Category;

// Asked wherever the kernel knows what a call means: with the object, never with the caller's
// text. Objects are named by their place in the mount tree up to its topmost root, whatever root
// the caller has. Who calls is known by itself (enforce/enforcer.h).
//
// A refusal is EACCES, or ENOENT where the policy hides what is there. Objects without a place in
// the tree (pipes, sockets) have no path: none of the rules for paths is about them.
class Guard {
 public:
  virtual ~Guard() = default;

  // What stands at `place`.
  virtual Result<void> object(Category what, const Path& place) = 0;
  // The name in a directory, whether or not something stands there.
  virtual Result<void> entry(Category what, const Path& dir, std::string_view name) = 0;
  // A thing without a path: "!memfd:NAME", "@socket", "!unnamed".
  virtual Result<void> thing(Category what, std::string_view name) = 0;
  virtual Result<void> address(Category what, const policy::InetAddress& to) = 0;
  virtual Result<void> netlink(uint32_t family) = 0;
  virtual Result<void> request(const File& file, uint32_t command) = 0;
  // A descriptor on its way through a socket.
  virtual Result<void> passing(Category what, const File& file) = 0;

  // open(2) of what stands at `place`. Of what the call has just `created`, open_new() was asked:
  // only what kind of file it is remains.
  struct Opened {
    bool append_only = false;         // It stays at O_APPEND, and is not cut.
    std::optional<std::string> mask;  // The path of what is shown instead.
  };
  virtual Result<Opened> open(const Path& place, int flags, bool created) = 0;
  // ... of a name where nothing stands yet.
  virtual Result<void> open_new(const Path& dir, std::string_view name, int flags) = 0;
  // A name that comes for an object, while the old one `leaves` (rename(2)) or not (link(2)). EXDEV
  // where the new name would allow more than the old one did; whoever may do so can still copy.
  virtual Result<void> move(const Path& from, const Path& dir, std::string_view name,
                            bool leaves) = 0;
  // The path of what is shown instead of what stands at `place`.
  virtual std::optional<std::string> mask_of(const Path& place) = 0;
  // syd(7), "Trusted Symbolic Links", "Trusted Hardlinks" and "Trusted File Creation", which are
  // stricter than /proc/sys/fs/protected_*: a link in `dir` that is to be followed, what is to get
  // a further name, what O_CREAT without O_EXCL finds.
  virtual Result<void> follow(const Path& link, Inode& dir) = 0;
  virtual Result<void> link_target(const Path& target) = 0;
  virtual Result<void> create_over(const Path& found) = 0;
  // Whether a directory's listing shows the entry.
  virtual bool lists(const Path& dir, std::string_view name) = 0;
  // A program, an interpreter or a script that is to be run; a library that is to be mapped.
  virtual Result<void> execute(File& file) = 0;
  // What is known of a program before it starts. `file` was asked about by execute().
  struct Program {
    bool script = false;
    bool fixed = false;    // Not position-independent.
    bool dynamic = false;  // It names an interpreter.
    bool executable_stack = false;
  };
  virtual Result<void> start(const File& file, const Program& program) = 0;
  // Memory that is written and executed, or executed without coming from a file.
  virtual Result<void> executable_memory() = 0;
  // Flags of WalkFlags that every walk has, and whether ".." is refused.
  virtual uint32_t walk_flags() const = 0;
  virtual bool denies_dot_dot() const = 0;
  // Bits that the mode of a new or changed regular file never has.
  virtual uint32_t umask() const = 0;
  // Changes of the mount tree change what names mean: EPERM.
  virtual Result<void> mount_change() = 0;
  // Whether programs gain ids and capabilities by their own mode or attributes: execve(2).
  virtual bool honours_set_ids() const = 0;
  // A process ran it and was ended by a signal whose default is a core dump, or by SIGKILL.
  virtual void crashed(const File& program) = 0;
  // A task with the real id `from` gets the id `to`, which it did not have. EPERM.
  virtual Result<void> change_id(policy::IdKind kind, uint32_t from, uint32_t to) = 0;
  // What the frame of a signal at `addr` carries, and whether sigreturn(2) may take one from there
  // that carries `cookie`.
  virtual uint64_t frame_cookie(uint64_t addr) const = 0;
  virtual Result<void> signal_frame(uint64_t addr, uint64_t cookie) = 0;
  // New descriptors are not the lowest.
  virtual bool scatters_descriptors() const = 0;
  // What this process says changes the policy: nobody else may trace it, write to its memory or
  // take its descriptors.
  virtual bool is_governed_by(const ThreadGroup& process) const = 0;
  // One task more (EAGAIN), so much more memory mapped for the caller (ENOMEM).
  virtual Result<void> new_task() = 0;
  virtual Result<void> more_memory(uint64_t bytes) = 0;

  // stat(2) of "/dev/syd/COMMAND": what the command said. Nothing: the path is another.
  virtual std::optional<Result<void>> command(std::string_view path) = 0;
  // What reading "/dev/syd" gives.
  virtual Result<std::string> state() = 0;

  // The sets of categories that need not be asked at all are asked often.
  bool wants(Category what) const { return wanted_ >> policy::index(what) & 1; }

 protected:
  uint64_t wanted_ = 0;
};

constexpr std::string_view kPolicyDevice = "/dev/syd";

// Null: there is no policy, and nothing but this is looked at.
inline Guard* installed_guard = nullptr;

// While somebody outside of the sandbox does something to it: the policy is not for them.
class GuardPause {
 public:
  GuardPause() : paused_(std::exchange(installed_guard, nullptr)) {}
  ~GuardPause() { installed_guard = paused_; }
  GuardPause(const GuardPause&) = delete;

 private:
  Guard* const paused_;
};

inline Result<void> ask(Category what, const Path& place) {
  if (!installed_guard || !installed_guard->wants(what)) [[likely]]
    return {};
  return installed_guard->object(what, place);
}
inline Result<void> ask(Category what, const Path& dir, std::string_view name) {
  if (!installed_guard || !installed_guard->wants(what)) [[likely]]
    return {};
  return installed_guard->entry(what, dir, name);
}
inline Result<void> ask(Category what, std::string_view thing) {
  if (!installed_guard || !installed_guard->wants(what)) [[likely]]
    return {};
  return installed_guard->thing(what, thing);
}
inline Result<void> ask_mount_change() {
  if (!installed_guard) [[likely]]
    return {};
  return installed_guard->mount_change();
}

}  // namespace usk
