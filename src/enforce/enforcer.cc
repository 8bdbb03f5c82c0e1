#include "enforce/enforcer.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include "base/log.h"
#include "enforce/call.h"
#include "enforce/checksum.h"
#include "enforce/names.h"
#include "fs/vfs/walk.h"
#include "host/file.h"
#include "host/random.h"
#include "kernel/signal/send.h"
#include "policy/requests.h"

namespace usk {

using policy::Action;
using policy::Option;

thread_local CurrentCall* CurrentCall::now = nullptr;

Enforcer::Enforcer(policy::Policy policy, EnforcerOptions options, const EnforcerState& state)
    : options_(std::move(options)),
      policy_(std::move(policy)),
      denials_(state.denials),
      ghost_(state.ghost),
      frame_key_(state.frame_key) {}

OrFailure<std::unique_ptr<Enforcer>> Enforcer::make(policy::Policy policy, EnforcerOptions options,
                                                    std::optional<EnforcerState> saved) {
  if (policy.lock() == policy::LockState::kUnset) policy.set_lock(policy::LockState::kOn);
  // Later it may be too late to load a library.
  const bool may_change = policy.lock() != policy::LockState::kOn;
  if (policy.is_on(Category::kForce) || may_change) TRY(prepare_checksums());
  if (!saved) {
    auto& key = saved.emplace().frame_key;
    host::fill_random(std::as_writable_bytes(std::span(&key, 1)));
  }
  std::unique_ptr<Enforcer> e(new Enforcer(std::move(policy), std::move(options), *saved));
  if (!e->options_.audit_file.empty()) {
    nlohmann::ordered_json start{{"event", "start"}};
    {
      Lock lock(e->mu_);
      start["policy"] = TRY(sha256(e->policy_.json()));
      start["rules"] = e->policy_.rules().size();
    }
    start["warn_only"] = e->options_.warn_only;
    e->audit_ = TRY(AuditLog::make(e->options_.audit_file, std::move(start)));
  }
  Lock lock(e->mu_);
  e->refresh_locked();
  return e;
}

Enforcer::~Enforcer() {
  if (installed_guard == this) installed_guard = nullptr;
}

void Enforcer::install(Kernel& kernel) {
  kernel_ = &kernel;
  installed_guard = this;
}

// What is kept beside the rules, after each change of them.
void Enforcer::refresh_locked() {
  book_ = std::make_unique<policy::RuleBook>(policy_);
  uint64_t wanted = 0, options = 0;
  bool marks = false;
  for (const policy::Rule& r : policy_.rules()) {
    marks |= r.categories[policy::index(Category::kMask)] ||
             r.categories[policy::index(Category::kAppend)];
  }
  const bool names = !policy_.option(Option::kUnsafeFilename);
  for (size_t i = 0; i < policy::kCategoryCount; i++) {
    const auto c = Category(i);
    const bool locked = policy_.is_on(Category::kLock) && policy::lock_category(c);
    const bool named = policy::kind_of(c) == policy::Kind::kPath && (marks || names);
    if (policy_.is_on(c) || locked || (named && changes_names(c))) wanted |= uint64_t(1) << i;
  }
  for (size_t i = 0; i < policy::kOptionCount; i++) {
    if (policy_.option(Option(i))) options |= uint64_t(1) << i;
  }
  wanted_ = wanted;
  options_bits_ = options;
  has_marks_ = marks;
  uint32_t walk = 0;
  if (policy_.option(Option::kForceNoSymlinks)) walk |= kNoSymlinks;
  if (policy_.option(Option::kForceNoMagiclinks)) walk |= kNoMagicLinks;
  if (policy_.option(Option::kForceNoXdev)) walk |= kNoXdev;
  walk_flags_ = walk;
  denies_dot_dot_ = policy_.option(Option::kDenyDotdot);
  const uint64_t mask = policy_.limit(policy::command::SetLimit::kForceUmask);
  umask_ = mask == policy::command::SetLimit::kNone ? 0 : uint32_t(mask);
}

Enforcer::Verdict Enforcer::copy(const policy::Decision& d) {
  if (!d.rule) return {d.action, "", ""};
  return {d.action, d.rule->text, d.rule->source.text()};
}

Result<void> Enforcer::judge(Category what, std::string_view name) {
  Verdict v;
  {
    Lock lock(mu_);
    const policy::Decision d = book_->by_name(what, name);
    if (d.action == Action::kAllow) return {};
    v = copy(d);
  }
  return refuse({what, name}, v);
}

// What somebody is told who must not even know that there is something: that there is nothing.
int Enforcer::error_of(const Subject& s) {
  if (s.error) return s.error;
  if (!CurrentCall::now) return EACCES;
  if (policy::hides(s.category)) return ENOENT;
  const bool path = policy::kind_of(s.category) == policy::Kind::kPath;
  if (!path || !s.object.starts_with('/') || makes_names(s.category)) return EACCES;
  Lock lock(mu_);
  const policy::Decision d = book_->by_name(Category::kStat, s.object);
  return allows(d.action) ? EACCES : ENOENT;
}

void Enforcer::learn(const Subject& s) {
  Lock lock(mu_);
  if (s.label.empty()) {
    options_.learn->add(s.category, s.object);
  } else if (s.label.starts_with("trace/allow_")) {
    options_.learn->options.insert(fmt::format("{}:1", s.label));
  } else if (s.category == Category::kTpe) {
    options_.learn->options.insert("sandbox/tpe:off");
  }
}

Result<void> Enforcer::refuse(const Subject& s, const Verdict& verdict) {
  if (options_.learn) {
    learn(s);
    return {};
  }
  const int error = error_of(s);
  const bool allowed = options_.warn_only || allows(verdict.action);
  if (reports(verdict.action)) {
    Denial d;
    d.time = host::now_realtime();
    d.category = s.label.empty() ? policy::name_of(s.category) : s.label;
    d.object = s.object;
    d.action = verdict.action;
    d.allowed = allowed;
    d.error = error;
    d.rule = verdict.rule;
    d.source = verdict.source;
    if (s.label.empty()) {
      d.hint = fmt::format("allow/{}+{}", d.category, policy::escape_glob(s.object));
    } else if (s.label.starts_with("trace/allow_")) {
      d.hint = fmt::format("{}:1", s.label);
    }
    report(std::move(d));
  }
  if (allowed) return {};
  if (CurrentCall* call = CurrentCall::now) {
    if (!call->penalty || verdict.action > *call->penalty) {
      call->penalty = verdict.action;
      call->error = error;
    }
  }
  return Err(error);
}

Result<void> Enforcer::refuse_option(Option option, std::string_view object, int error) {
  return refuse({Category::kExec, object, policy::name_of(option), error}, {Action::kDeny, "", ""});
}

void Enforcer::report(Denial d) {
  if (const CurrentCall* call = CurrentCall::now) {
    d.call = options_.call_name ? options_.call_name(call->nr) : std::to_string(call->nr);
    constexpr size_t kMostAncestors = 16;
    Lock lock(task_mutex);
    d.tree.push_back({call->task.group->pid->root_nr(), call->task.name()});
    const ThreadGroup* up = call->task.group->parent;
    for (; up && d.tree.size() < kMostAncestors; up = up->parent) {
      d.tree.push_back({up->pid->root_nr(), up->leader ? up->leader->name() : ""});
    }
  } else {
    d.call = "none";
  }
  {
    Lock lock(mu_);
    d.id = ++denials_;
    if (recent_.size() == kMaxRecent) recent_.pop_front();
    recent_.push_back(d);
  }
  if (options_.explain) LOG_ERROR("{}", d.text());
  if (audit_) audit_->add(d.json());
}

policy::Policy Enforcer::policy() const {
  Lock lock(mu_);
  return policy_;
}

EnforcerState Enforcer::state_to_save() const {
  Lock lock(mu_);
  return {ghost_, denials_, frame_key_};
}

std::vector<Denial> Enforcer::recent() const {
  Lock lock(mu_);
  return {recent_.begin(), recent_.end()};
}

std::optional<int> Enforcer::exit_code() const {
  const int code = exit_code_;
  return code < 0 ? std::nullopt : std::optional(code);
}

SyscallResult Enforcer::invoke(Task& t, SyscallFrame& frame,
                               SyscallResult (*handler)(Task&, SyscallFrame&)) {
  if (ghost_ && !serves_ghosts(options_.call_name ? options_.call_name(frame.nr) : "")) {
    return Err(ENOSYS);
  }
  CurrentCall call(t, frame.nr);
  SyscallResult result = handler(t, frame);
  if (call.penalty) punish(call);
  return result;
}

void Enforcer::punish(const CurrentCall& call) {
  Task& t = call.task;
  const Action action = *call.penalty;
  int signal = 0;
  switch (action) {
    case Action::kStop: signal = SIGSTOP; break;
    case Action::kAbort: signal = SIGABRT; break;
    case Action::kKill: signal = SIGKILL; break;
    case Action::kExit:
      exit_code_ = call.error;
      t.kernel.kill_all();
      return;
    default: return;
  }
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_KERNEL;
  Lock lock(task_mutex);
  if (action == Action::kKill) return force_fatal_signal(t, info);
  (void)send_group_signal(*t.group, info);  // Only real-time signals can find no room.
}

Result<void> Enforcer::object(Category what, const Path& place) {
  if (place.dentry->is_anonymous()) return {};
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(place, {}, room));
  TRY(check_marks(what, name));
  return judge(what, name);
}

Result<void> Enforcer::entry(Category what, const Path& dir, std::string_view last) {
  NameBuffer room;
  const std::string_view name = TRY(PathText::name(dir, last, room));
  if (makes_names(what) && !option(Option::kUnsafeFilename) && !is_safe_name(last)) {
    TRY(refuse_option(Option::kUnsafeFilename, name, EILSEQ));
  }
  TRY(check_marks(what, name));
  return judge(what, name);
}

Result<void> Enforcer::thing(Category what, std::string_view name) { return judge(what, name); }

Result<void> Enforcer::address(Category what, const policy::InetAddress& to) {
  Verdict v;
  {
    Lock lock(mu_);
    const policy::Decision d = book_->by_address(what, to);
    if (d.action == Action::kAllow) return {};
    v = copy(d);
  }
  return refuse({what, policy::text_of(to)}, v);
}

Result<void> Enforcer::netlink(uint32_t family) {
  Verdict v;
  {
    Lock lock(mu_);
    const policy::Decision d = book_->by_family(family);
    if (d.action == Action::kAllow) return {};
    v = copy(d);
  }
  return refuse({Category::kNetLink, policy::family_name(family)}, v);
}

Result<void> Enforcer::request(const File& file, uint32_t command) {
  if (!wants(Category::kIoctl)) return {};
  TRY(check_lock_ioctl(file, command));
  Verdict v;
  {
    Lock lock(mu_);
    const policy::Decision d = book_->by_request(command);
    if (d.action == Action::kAllow) return {};
    v = copy(d);
  }
  return refuse({Category::kIoctl, policy::request_name(command)}, v);
}

Result<void> Enforcer::passing(Category what, const File& file) {
  if (!wants(what)) return {};
  return judge(what, descriptor_name(file));
}

Result<void> Enforcer::mount_change() {
  if (option(Option::kUnsafeMount)) return {};
  return refuse_option(Option::kUnsafeMount, "mount tree", EPERM);
}

Result<void> Enforcer::new_task() {
  uint64_t limit = 0;
  Verdict v;
  {
    Lock lock(mu_);
    limit = policy_.limit(policy::command::SetLimit::kPidMax);
    if (!limit || !policy_.is_on(Category::kPid)) return {};
    v.action = policy_.default_action(Category::kPid);
  }
  {
    Lock lock(task_mutex);
    if (!kernel_ || kernel_->task_count() <= limit) return {};  // Init does not count.
  }
  v.rule = fmt::format("pid/max:{}", limit);
  return refuse({Category::kPid, "a process", "pid", EAGAIN}, v);
}

Result<void> Enforcer::more_memory(uint64_t bytes) {
  if (!wants(Category::kMem) || !CurrentCall::now) return {};
  uint64_t resident, all;
  Verdict v;
  {
    Lock lock(mu_);
    resident = policy_.limit(policy::command::SetLimit::kMemMax);
    all = policy_.limit(policy::command::SetLimit::kMemVmMax);
    v.action = policy_.default_action(Category::kMem);
  }
  if (v.action == Action::kAllow) return {};
  AddressSpace& mm = *CurrentCall::now->task.mm;
  const auto exceeds = [&](uint64_t used, uint64_t limit) {
    return limit && (used > limit || bytes > limit - used);
  };
  if (exceeds(all ? mm.totals().total : 0, all)) {
    v.rule = fmt::format("mem/vm_max:{}", all);
  } else if (resident && mm.space().resident_bytes() > resident) {
    v.rule = fmt::format("mem/max:{}", resident);
  } else {
    return {};
  }
  return refuse({Category::kMem, "memory", "mem", ENOMEM}, v);
}

}  // namespace usk
