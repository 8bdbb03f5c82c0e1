// What all rules together say: switches, defaults, lists, options, limits, the lock.
#pragma once
#include <array>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/command.h"
#include "policy/rule.h"

namespace usk::policy {

// A policy is the sum of its commands, in their order. It starts as syd(2) says: what is on
// denies whatever no rule allows.
class Policy {
 public:
  static constexpr size_t kMaxRules = 100'000, kMaxBlocks = 2'000'000;

  Policy();

  // One command that is no include. The policy is as before where it fails.
  Parsed<> apply(const Command& command, const Source& source, std::string_view text);
  Parsed<> apply(std::string_view text, const Source& source);
  // Whether a command only takes away from what is allowed (lock:drop).
  bool tightens(const Command& command) const;
  // "sandbox/read": whether it is so; an error where it is nothing that can be asked.
  Parsed<bool> query(std::string_view what) const;

  bool is_on(Category c) const { return on_[index(c)]; }
  Action default_action(Category c) const { return defaults_[index(c)]; }
  const std::vector<Rule>& rules() const { return rules_; }
  bool option(Option o) const { return options_[size_t(o)]; }
  // 0, or SetLimit::kNone for those that may be none: there is no limit.
  uint64_t limit(command::SetLimit::Which w) const { return limits_[w]; }
  LockState lock() const { return lock_; }
  void set_lock(LockState s) { lock_ = s; }
  const std::map<std::string, Checksum>& checksums() const { return checksums_; }
  const std::map<Network, Source>& blocked() const { return blocked_; }
  Action block_action() const { return block_action_; }
  // The addresses that rules by name mean from now on.
  void set_hosts(std::vector<HostName> hosts) { hosts_ = std::move(hosts); }
  // Whether who is `from` may become `to`; anybody may become anybody where nothing says otherwise.
  bool may_become(IdKind kind, uint32_t from, uint32_t to) const;
  // Commands that had no effect, and why.
  const std::vector<std::string>& notes() const { return notes_; }
  // Rises with each change.
  uint64_t generation() const { return generation_; }

  // As /dev/syd shows it, and as lines for a person.
  std::string json() const;
  std::string summary() const;

  // All of it for a checkpoint, and back: a JSON object.
  std::string saved() const;
  static Parsed<Policy> from_saved(std::string_view text);

 private:
  Parsed<> apply_list(const command::List& c, const Source& source, std::string_view text);
  Parsed<> apply_mark(const command::Mark& c, const Source& source, std::string_view text);
  Parsed<> apply_force(const command::Force& c, const Source& source, std::string_view text);
  Parsed<> apply_block(const command::Block& c, const Source& source);
  Parsed<> apply_limit(const command::SetLimit& c);
  Parsed<> apply_transition(const command::Transition& c);
  Parsed<> add_saved_rule(std::string_view text, const Source& source, const CategorySet& left,
                          std::vector<uint32_t> numbers);
  Parsed<> load_lists(const nlohmann::ordered_json& all);
  Parsed<> load_settings(const nlohmann::ordered_json& all);
  Parsed<> load_blocks(const nlohmann::ordered_json& all);
  Parsed<> add_rule(Rule rule);
  void look_up(Rule& rule);
  void note(const Source& source, std::string_view text, std::string_view why);
  void remove_rules(const Rule& like, ListOp op);
  void remove_numbers(const Rule& like);

  std::array<bool, kCategoryCount> on_{};
  std::array<Action, kCategoryCount> defaults_{};
  std::array<bool, kOptionCount> options_{};
  std::array<uint64_t, command::SetLimit::kCount> limits_{};
  std::vector<Rule> rules_;
  std::map<std::string, Checksum> checksums_;
  std::map<Network, Source> blocked_;
  Action block_action_ = Action::kDeny;
  std::vector<HostName> hosts_;
  std::array<std::map<uint32_t, uint32_t>, 2> transitions_;  // By IdKind; from whom to whom.
  LockState lock_ = LockState::kUnset;
  std::vector<std::string> notes_;
  uint64_t generation_ = 1;
};

}  // namespace usk::policy
