// A sandbox's policy at work: answers what files, sockets and memory ask (fs/vfs/guard.h).
#pragma once
#include <atomic>
#include <deque>
#include <memory>
#include <optional>

#include "base/failure.h"
#include "base/lock.h"
#include "enforce/audit.h"
#include "enforce/denial.h"
#include "enforce/segv_guard.h"
#include "enforce/state.h"
#include "fs/vfs/guard.h"
#include "kernel/kernel.h"
#include "policy/learn.h"
#include "policy/rule_book.h"

namespace usk {

struct CurrentCall;

struct EnforcerOptions {
  bool explain = false;    // Each denial is a line on standard error.
  bool warn_only = false;  // Nothing is denied; what would be is reported.
  std::string audit_file;  // Empty: there is no log.
  // Instead of denying anything: what would be is noted here (warn_only).
  std::shared_ptr<policy::Deeds> learn;
  // Names for system calls.
  std::string_view (*call_name)(uint64_t nr) = nullptr;
};

class Enforcer final : public Guard {
 public:
  static constexpr size_t kMaxRecent = 256;  // Denials that are kept for `usk why`.

  // `saved`: of a sandbox that is restored.
  static OrFailure<std::unique_ptr<Enforcer>> make(policy::Policy policy, EnforcerOptions options,
                                                   std::optional<EnforcerState> saved = {});
  // Takes itself out.
  ~Enforcer() override;
  // The sandbox has ended: the last entry of the log.
  void end_log() {
    if (audit_) audit_->end();
  }
  // From now on it is asked. One at a time.
  void install(Kernel& kernel);
  // The process that lock:exec lets change the policy.
  void set_first(Ref<ThreadGroup> first) { first_ = std::move(first); }

  // Calls a system call's handler; rules that send signals do so when it has returned.
  SyscallResult invoke(Task& t, SyscallFrame& frame,
                       SyscallResult (*handler)(Task&, SyscallFrame&));
  policy::Policy policy() const EXCLUDES(mu_);
  EnforcerState state_to_save() const EXCLUDES(mu_);
  // A command of somebody outside: unless the policy is locked for them, too.
  OrFailure<void> tell(std::string_view text) EXCLUDES(mu_);
  // The oldest first.
  std::vector<Denial> recent() const EXCLUDES(mu_);
  // A rule of action exit has ended the sandbox.
  std::optional<int> exit_code() const;

  Result<void> object(Category what, const Path& place) override;
  Result<void> entry(Category what, const Path& dir, std::string_view name) override;
  Result<void> thing(Category what, std::string_view name) override;
  Result<void> address(Category what, const policy::InetAddress& to) override;
  Result<void> netlink(uint32_t family) override;
  Result<void> request(const File& file, uint32_t command) override;
  Result<void> passing(Category what, const File& file) override;
  Result<Opened> open(const Path& place, int flags, bool created) override;
  Result<void> open_new(const Path& dir, std::string_view name, int flags) override;
  Result<void> move(const Path& from, const Path& dir, std::string_view name, bool leaves) override;
  std::optional<std::string> mask_of(const Path& place) override;
  Result<void> follow(const Path& link, Inode& dir) override;
  Result<void> link_target(const Path& target) override;
  Result<void> create_over(const Path& found) override;
  bool lists(const Path& dir, std::string_view name) override;
  Result<void> execute(File& file) override;
  Result<void> start(const File& file, const Program& program) override;
  Result<void> executable_memory() override;
  uint32_t walk_flags() const override { return walk_flags_; }
  bool denies_dot_dot() const override { return denies_dot_dot_; }
  uint32_t umask() const override { return umask_; }
  Result<void> mount_change() override;
  bool honours_set_ids() const override { return option(policy::Option::kUnsafeSetIds); }
  void crashed(const File& program) override;
  Result<void> change_id(policy::IdKind kind, uint32_t from, uint32_t to) override;
  uint64_t frame_cookie(uint64_t addr) const override { return siphash(frame_key_, addr); }
  Result<void> signal_frame(uint64_t addr, uint64_t cookie) override;
  bool scatters_descriptors() const override { return option(policy::Option::kForceRandFd); }
  bool is_governed_by(const ThreadGroup& process) const override EXCLUDES(mu_);
  Result<void> new_task() override;
  Result<void> more_memory(uint64_t bytes) override;
  std::optional<Result<void>> command(std::string_view path) override;
  Result<std::string> state() override;

 private:
  // What a rule is said to be about.
  struct Subject {
    Category category;
    std::string_view object;
    std::string_view label = {};  // Instead of the category's name: an option.
    int error = 0;                // Instead of what the category denies with.
  };
  // A decision that outlives the rules it came from.
  struct Verdict {
    policy::Action action;
    std::string rule, source;
  };
  Enforcer(policy::Policy policy, EnforcerOptions options, const EnforcerState& state);
  void refresh_locked() REQUIRES(mu_);
  static Verdict copy(const policy::Decision& d);
  Result<void> judge(Category what, std::string_view name) EXCLUDES(mu_);
  Result<void> refuse(const Subject& subject, const Verdict& verdict) EXCLUDES(mu_);
  Result<void> refuse_option(policy::Option option, std::string_view object, int error)
      EXCLUDES(mu_);
  Result<void> refuse_place(policy::Option option, const Path& place, int error) EXCLUDES(mu_);
  int error_of(const Subject& subject) EXCLUDES(mu_);
  void report(Denial denial) EXCLUDES(mu_);
  void learn(const Subject& subject) EXCLUDES(mu_);
  void punish(const CurrentCall& call);
  Result<void> check_marks(Category what, std::string_view name) EXCLUDES(mu_);
  std::optional<std::string> mask_locked(std::string_view name, bool directory) REQUIRES(mu_);
  Result<void> check_force(File& file, std::string_view name) EXCLUDES(mu_);
  Result<void> check_tpe(const File& file, std::string_view name) EXCLUDES(mu_);
  Result<void> check_crashes(std::string_view program) EXCLUDES(mu_);
  Result<void> check_lock_ioctl(const File& file, uint32_t command) EXCLUDES(mu_);
  Result<void> check_file_system(const Path& place, std::string_view name) EXCLUDES(mu_);
  bool option(policy::Option o) const { return options_bits_ >> unsigned(o) & 1; }
  bool may_command(bool& only_tighter) EXCLUDES(mu_);
  Result<void> obey(std::string_view text) EXCLUDES(mu_);
  // Null: it is no command that does something rather than to change the rules.
  std::optional<Result<void>> act(std::string_view text) EXCLUDES(mu_);
  policy::Parsed<> change(std::string_view text, const policy::Source& from, bool only_tighter)
      EXCLUDES(mu_);

  const EnforcerOptions options_;
  Kernel* kernel_ = nullptr;
  Ref<ThreadGroup> first_;
  std::unique_ptr<AuditLog> audit_;
  mutable Mutex<Rank::kLeaf> mu_;
  policy::Policy policy_ GUARDED_BY(mu_);
  std::unique_ptr<policy::RuleBook> book_ GUARDED_BY(mu_);
  SegvGuard segv_guard_ GUARDED_BY(mu_);
  std::deque<Denial> recent_ GUARDED_BY(mu_);
  uint64_t denials_ GUARDED_BY(mu_) = 0;
  // Of the policy, for who must not wait.
  std::atomic<uint64_t> options_bits_{0};
  std::atomic<uint32_t> walk_flags_{0}, umask_{0};
  std::atomic<bool> denies_dot_dot_{false}, ghost_{false};
  std::atomic<bool> has_marks_{false};
  std::atomic<int> exit_code_{-1};
  const SipKey frame_key_;
};

// How rules name what a descriptor stands for: "!file", "!pipe", "!memfd:NAME".
std::string descriptor_name(const File& file);

}  // namespace usk
