// Programs, libraries and memory that is executed: exec, force, tpe, and what programs are made of.
#include <fmt/format.h>

#include "base/log.h"
#include "enforce/call.h"
#include "enforce/checksum.h"
#include "enforce/enforcer.h"
#include "enforce/names.h"
#include "fs/vfs/mount.h"
#include "host/poll.h"

namespace usk {

using policy::Action;
using policy::Option;

namespace {

const Creds& caller_creds(const File& file) {
  return CurrentCall::now ? *CurrentCall::now->task.creds : file.creds();
}

Result<std::string> program_name(const File& file) {
  if (file.path().dentry->is_anonymous()) return descriptor_name(file);
  NameBuffer room;
  return std::string(TRY(PathText::name(file.path(), {}, room)));
}

}  // namespace

Result<void> Enforcer::execute(File& file) {
  if (file.path().dentry->is_anonymous()) {
    const std::string name = descriptor_name(file);
    if (!name.starts_with("!memfd:")) return executable_memory();  // Shared memory.
    if (!option(Option::kUnsafeMemfd)) {
      TRY(refuse_option(Option::kUnsafeMemfd, name, EACCES));
    }
    if (!wants(Category::kExec)) return {};
    return judge(Category::kExec, name);
  }
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(file.path(), {}, room));
  if (wants(Category::kExec)) TRY(judge(Category::kExec, name));
  if (wants(Category::kForce)) TRY(check_force(file, name));
  if (wants(Category::kTpe)) TRY(check_tpe(file, name));
  return {};
}

Result<void> Enforcer::check_force(File& file, std::string_view name) {
  std::optional<policy::Checksum> wanted;
  Verdict v;
  {
    Lock lock(mu_);
    const auto it = policy_.checksums().find(std::string(name));
    if (it != policy_.checksums().end()) wanted = it->second;
    v.action = policy_.default_action(Category::kForce);
  }
  if (wanted) {
    if (TRY(checksum_of(file, wanted->algorithm)) == wanted->hex) return {};
    v = {wanted->action, wanted->text, wanted->source.text()};
  }
  if (v.action == Action::kAllow) return {};
  return refuse({Category::kForce, name, "force", EACCES}, v);
}

// Whether somebody else may have put it there: syd(7), "TPE sandboxing".
Result<void> Enforcer::check_tpe(const File& file, std::string_view name) {
  using Limit = policy::command::SetLimit;
  const Creds& creds = caller_creds(file);
  Verdict v;
  uint64_t gid;
  {
    Lock lock(mu_);
    gid = policy_.limit(Limit::kTpeGid);
    v.action = policy_.default_action(Category::kTpe);
  }
  if (v.action == Action::kAllow) return {};
  if (gid != Limit::kNone) {
    const bool member = creds.in_group(Gid(gid));
    if (member == option(Option::kTpeNegate)) return {};
  }
  std::string_view why;
  const auto look_at = [&](Inode& inode) -> Result<void> {
    const Attr a = TRY(inode.getattr());
    if (a.mode & 022) why = "others may write to it";
    if (option(Option::kTpeRootOwned) && a.uid != 0) why = "it is not root's";
    if (option(Option::kTpeUserOwned) && a.uid != 0 && a.uid != creds.uid) why = "it is another's";
    return {};
  };
  TRY(look_at(file.inode()));
  if (const Ref<Dentry> parent = file.path().dentry->parent(); parent && why.empty()) {
    TRY(look_at(*parent->inode()));
  }
  const Ref<Mount>& mount = file.path().mount;
  if (option(Option::kTpeRootMount) && mount && mount->mountpoint()) why = "it is another mount's";
  if (why.empty()) return {};
  v.rule = why;
  return refuse({Category::kTpe, name, "tpe", EACCES}, v);
}

void Enforcer::crashed(const File& program) {
  using Limit = policy::command::SetLimit;
  const auto name = program_name(program);
  if (!name) return;  // It has no place any more, and can be started from none.
  const int64_t now = host::monotonic_now();
  SegvGuard::Limits limits;
  {
    Lock lock(mu_);
    limits = {policy_.limit(Limit::kSegvExpiry), policy_.limit(Limit::kSegvSuspension),
              policy_.limit(Limit::kSegvCrashes)};
    if (!segv_guard_.crashed(*name, now, limits)) return;
  }
  LOG_INFO("{:?} has crashed {} times: it is not started for {} seconds", *name, limits.most,
           limits.suspension_s);
}

Result<void> Enforcer::check_crashes(std::string_view program) {
  {
    Lock lock(mu_);
    if (!segv_guard_.is_suspended(std::string(program), host::monotonic_now())) return {};
  }
  Verdict v{Action::kDeny, "it crashed", ""};
  {
    Lock lock(mu_);
    v.action = policy_.default_action(Category::kSegvguard);
  }
  if (v.action == Action::kAllow) return {};
  return refuse({Category::kSegvguard, program, "segvguard", EACCES}, v);
}

Result<void> Enforcer::start(const File& file, const Program& program) {
  const std::string name = TRY(program_name(file));
  const auto forbid = [&](bool is, Option o) -> Result<void> {
    if (!is) return {};
    return refuse_option(o, name, EACCES);
  };
  if (program.script) return forbid(option(Option::kDenyScript), Option::kDenyScript);
  TRY(check_crashes(name));
  TRY(forbid(program.fixed && !option(Option::kUnsafeExecNopie), Option::kUnsafeExecNopie));
  TRY(forbid(program.executable_stack && !option(Option::kUnsafeExecStack),
             Option::kUnsafeExecStack));
  TRY(forbid(program.dynamic && option(Option::kDenyElfDynamic), Option::kDenyElfDynamic));
  return forbid(!program.dynamic && option(Option::kDenyElfStatic), Option::kDenyElfStatic);
}

Result<void> Enforcer::executable_memory() {
  if (option(Option::kUnsafeExecMemory)) return {};
  return refuse_option(Option::kUnsafeExecMemory, "memory", EACCES);
}

}  // namespace usk
