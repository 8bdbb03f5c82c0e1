// One line of a policy taken apart: syd(2), "COMMANDS".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "policy/action.h"
#include "policy/category.h"
#include "policy/id_kind.h"

namespace usk::policy {

enum class Option : uint8_t {
#define OPTION(id, name, initial, strict) id,
#include "policy/options.def"
#undef OPTION
  kCount,
};
constexpr size_t kOptionCount = size_t(Option::kCount);
std::string_view name_of(Option o);
bool initial_value(Option o);
bool strict_value(Option o);

// Who may still change the policy from inside.
enum class LockState : uint8_t { kUnset, kOff, kExec, kIpc, kDrop, kRead, kOn };
std::string_view name_of(LockState s);

// How a list is changed: '+' appends, '-' removes the last that is equal, '^' all that are.
enum class ListOp : char { kAdd = '+', kRemove = '-', kClear = '^' };

namespace command {
struct Switch {  // sandbox/CATEGORIES:on
  CategorySet categories;
  bool on;
};
struct Default {  // default/CATEGORIES:ACTION
  CategorySet categories;
  Action action;
};
struct List {  // ACTION/CATEGORIES+PATTERN
  Action action;
  Categories categories;
  ListOp op;
  std::string pattern;
};
struct Mark {  // mask+PATTERN[:FILE[:DIRECTORY]], append+PATTERN
  Category category;
  ListOp op;
  std::string pattern, file, directory;
};
struct Force {  // force+PATH:ALGORITHM:HEX[:ACTION]
  ListOp op;
  std::string path, algorithm, hex;
  Action action = Action::kDeny;
};
struct SetOption {
  Option option;
  bool value;
};
// mem/max, mem/vm_max, pid/max, tpe/gid, trace/force_umask, segvguard/expiry, segvguard/suspension,
// segvguard/maxcrashes
struct SetLimit {
  enum Which : uint8_t {
    kMemMax,
    kMemVmMax,
    kPidMax,
    kTpeGid,
    kForceUmask,
    kSegvExpiry,
    kSegvSuspension,
    kSegvCrashes,
    kCount
  } which;
  static constexpr uint64_t kNone = UINT64_MAX;  // "none"
  uint64_t value;
};
struct SetLock {
  LockState state;
};
struct Block {  // block+NETWORK
  ListOp op;
  std::string network;
};
struct BlockDefault {  // default/block:ACTION
  Action action;
};
struct Transition {  // setuid+FROM:TO, setuid-FROM:TO, setuid^FROM, setuid^, and setgid
  IdKind kind;
  ListOp op;
  std::optional<uint32_t> from, to;
};
struct Include {
  std::string what;
  bool profile;
};
struct Ignored {  // Known, but without a meaning for a kernel of our own.
  std::string why;
};
}  // namespace command

// As it is set: "pid/max".
std::string_view name_of(command::SetLimit::Which w);
std::optional<command::SetLimit::Which> limit_of(std::string_view name);

using Command =
    std::variant<command::Switch, command::Default, command::List, command::Mark, command::Force,
                 command::SetOption, command::SetLimit, command::SetLock, command::Block,
                 command::BlockDefault, command::Transition, command::Include, command::Ignored>;

// What is unknown, or known to other programs but not enforced here, is an error: a rule that says
// nothing must not look as if it did.
Parsed<Command> parse_command(std::string_view text);

Parsed<bool> parse_bool(std::string_view text);
// "64M": a number of bytes.
Parsed<uint64_t> parse_size(std::string_view text);

}  // namespace usk::policy
