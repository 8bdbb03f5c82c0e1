// namespaces(7) that a task is in, beside those its credentials, pid and mounts name.
#pragma once
#include <string>

#include "base/fields.h"
#include "base/lock.h"
#include "creds/user_namespace.h"
#include "fs/vfs/mount.h"
#include "kernel/task/pid.h"

namespace usk {

// uts_namespaces(7)
class UtsNamespace final : public RefCounted {
 public:
  UtsNamespace(std::string host, std::string domain, Ref<UserNamespace> owner)
      : owner_(std::move(owner)),
        id_(next_namespace_id()),
        host_(std::move(host)),
        domain_(std::move(domain)) {}
  explicit UtsNamespace(Blank) {}
  const Ref<UserNamespace>& owner() const { return owner_; }
  uint64_t id() const { return id_; }
  std::string host() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return host_;
  }
  std::string domain() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return domain_;
  }
  void set_host(std::string s) EXCLUDES(mu_) {
    Lock lock(mu_);
    host_ = std::move(s);
  }
  void set_domain(std::string s) EXCLUDES(mu_) {
    Lock lock(mu_);
    domain_ = std::move(s);
  }
  USK_FIELDS(owner_, id_, host_, domain_)

 private:
  Ref<UserNamespace> owner_;
  uint64_t id_ = 0;
  mutable Mutex<Rank::kLeaf> mu_;
  std::string host_ GUARDED_BY(mu_), domain_ GUARDED_BY(mu_);
};

// What every namespace has, an identity and an owner; cgroup and time namespaces have no more.
class PlainNamespace : public RefCounted {
 public:
  explicit PlainNamespace(Ref<UserNamespace> owner)
      : owner_(std::move(owner)), id_(next_namespace_id()) {}
  explicit PlainNamespace(Blank) {}
  const Ref<UserNamespace>& owner() const { return owner_; }
  uint64_t id() const { return id_; }
  USK_FIELDS(owner_, id_)

 private:
  Ref<UserNamespace> owner_;
  uint64_t id_ = 0;
};

// Linux's nsproxy, by value: a task's own copy.
struct Namespaces {
  Ref<MountNamespace> mounts;
  Ref<UtsNamespace> uts;
  Ref<PlainNamespace> net, ipc, cgroup, time;
  Ref<PidNamespace> pid_for_children;
  USK_FIELDS(mounts, uts, net, ipc, cgroup, time, pid_for_children)
};

}  // namespace usk
