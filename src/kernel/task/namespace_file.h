// Namespaces as files: /proc/PID/ns, setns(2), ioctl_ns(2).
#pragma once
#include "fs/vfs/file.h"
#include "kernel/task/task.h"

namespace usk {

// What /proc/PID/ns/X shows of a task; made by procfs, read by setns(2).
struct NamespaceRef {
  uint64_t type = 0;  // CLONE_NEW*
  Ref<MountNamespace> mounts;
  Ref<UtsNamespace> uts;
  Ref<PlainNamespace> plain;  // net, ipc, cgroup, time
  Ref<PidNamespace> pid;
  Ref<UserNamespace> user;
  USK_FIELDS(type, mounts, uts, plain, pid, user)
  // Of a loaded one: that it refers to a namespace of its type.
  OrFailure<void> check() const;
  uint64_t id() const;
  Ref<UserNamespace> owner() const;
};
// The namespace of `t` of that type; for CLONE_NEWPID, `for_children` tells which.
NamespaceRef namespace_of(Task& t, uint64_t type, bool for_children = false);

// A file that refers to a namespace.
class NamespaceFile : public File {
 public:
  NamespaceFile(Path path, int flags, Ref<const Creds> creds, NamespaceRef ns)
      : File(std::move(path), flags, kRead, std::move(creds)), ns_(std::move(ns)) {}
  explicit NamespaceFile(Blank b) : File(b) {}
  const NamespaceRef& ns() const { return ns_; }
  Result<int64_t> ioctl(Caller& caller, uint32_t cmd, uint64_t arg) override;
  USK_FIELDS_OF(File, ns_)
  OrFailure<void> restored(state::Restored& r);

 private:
  NamespaceRef ns_;
};

// setns(2) on a namespace file, or on a pidfd with the namespaces in `type`.
Result<void> enter_namespaces(Task& t, File& file, uint64_t type);

// What uname(2) and /proc/version say.
constexpr std::string_view kRelease = "6.6.0-usk";
constexpr std::string_view kVersion = "#1 SMP PREEMPT_DYNAMIC Usk";

}  // namespace usk
