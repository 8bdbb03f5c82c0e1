#include "policy/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace usk::policy {
namespace {

struct OptionEntry {
  std::string_view name;
  bool initial, strict;
};
constexpr std::array<OptionEntry, kOptionCount> kOptions = {{
#define OPTION(id, name, initial, strict) {name, initial, strict},
#include "policy/options.def"
#undef OPTION
}};

std::unexpected<std::string> bad(std::string text) { return std::unexpected(std::move(text)); }

constexpr std::array<std::string_view, 7> kLockNames = {"unset", "off",  "exec", "ipc",
                                                        "drop",  "read", "on"};

Parsed<Command> parse_lock(std::string_view value) {
  static constexpr struct {
    std::string_view name;
    LockState state;
  } kNames[] = {
      {"on", LockState::kOn},   {"1", LockState::kOn},          {"off", LockState::kOff},
      {"0", LockState::kOff},   {"exec", LockState::kExec},     {"x", LockState::kExec},
      {"ipc", LockState::kIpc}, {"i", LockState::kIpc},         {"drop", LockState::kDrop},
      {"d", LockState::kDrop},  {"read", LockState::kRead},     {"r", LockState::kRead},
      {"ro", LockState::kRead}, {"readonly", LockState::kRead}, {"read-only", LockState::kRead}};
  for (const auto& n : kNames) {
    if (n.name == value) return command::SetLock{n.state};
  }
  return bad(fmt::format("'{}' is no state of the lock", value));
}

// Where the categories of "read,all-x-PATTERN" end: at the first operator that is not part of a
// set's name.
size_t end_of_categories(std::string_view text) {
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (c == '+' || c == '^') return i;
    if (c != '-') continue;
    const bool after_all = i >= 3 && text.substr(i - 3, 3) == "all";
    const size_t end = text.find_first_not_of("lnx", i + 1);
    const bool is_name = after_all && end != text.npos && end > i + 1 &&
                         std::string_view(",+-^").find(text[end]) != std::string_view::npos;
    if (!is_name) return i;
    i = end - 1;
  }
  return text.npos;
}

// A pattern may be given as the hexadecimal digits of its bytes. What it stands for begins like a
// path or a name: a port or the name of a directory is no such pattern.
std::string decode_hex(std::string_view text) {
  const bool hex = text.size() >= 2 && text.size() % 2 == 0 &&
                   std::ranges::all_of(text, [](unsigned char c) { return isxdigit(c); });
  if (!hex) return std::string(text);
  std::string out;
  for (size_t i = 0; i < text.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    out += char(byte);
  }
  const bool is_pattern = !out.empty() && std::string_view("/@!").contains(out[0]);
  return is_pattern && !out.contains('\0') ? out : std::string(text);
}

Parsed<Command> parse_list(Action action, std::string_view rest) {
  const size_t end = end_of_categories(rest);
  if (end == rest.npos) {
    return bad(fmt::format("'{}/{}': there must be a '+', '-' or '^' with a pattern",
                           name_of(action), rest));
  }
  auto categories = parse_categories(rest.substr(0, end), false);
  if (!categories) return bad(categories.error());
  const CategorySet names =
      set_of(Category::kIoctl) | set_of(Category::kFs) | set_of(Category::kNetLink);
  command::List list{action, *categories, ListOp(rest[end]), std::string(rest.substr(end + 1))};
  if ((categories->set & names).none()) list.pattern = decode_hex(list.pattern);
  if (list.pattern.empty() && list.op != ListOp::kClear) return bad("the pattern is empty");
  return list;
}

// Cuts "a:b:c" at colons; "\:" is a colon and "\\" a backslash.
Parsed<std::vector<std::string>> cut_at_colons(std::string_view text) {
  std::vector<std::string> out(1);
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] == ':') {
      out.emplace_back();
      continue;
    }
    if (text[i] == '\\') {
      if (++i == text.size() || (text[i] != ':' && text[i] != '\\')) {
        return bad("a backslash may only stand before ':' or another");
      }
    }
    out.back() += text[i];
  }
  return out;
}

Parsed<Command> parse_mark(Category category, ListOp op, std::string_view rest) {
  command::Mark mark{category, op, {}, {}, {}};
  if (category == Category::kAppend) {
    mark.pattern = decode_hex(rest);
  } else {
    auto parts = cut_at_colons(rest);
    if (!parts) return bad(parts.error());
    if (parts->size() > 3) return bad("a mask has at most a pattern, a file and a directory");
    mark.pattern = (*parts)[0];
    if (parts->size() > 1) mark.file = (*parts)[1];
    if (parts->size() > 2) mark.directory = (*parts)[2];
    for (const std::string* p : {&mark.file, &mark.directory}) {
      if (!p->empty() && p->front() != '/') return bad("what a mask shows is an absolute path");
    }
  }
  if (mark.pattern.empty() && op != ListOp::kClear) return bad("the pattern is empty");
  return mark;
}

Parsed<Command> parse_force(ListOp op, std::string_view rest) {
  command::Force force{op, {}, {}, {}};
  auto parts = cut_at_colons(rest);
  if (!parts) return bad(parts.error());
  force.path = (*parts)[0];
  if (op == ListOp::kClear) return force;
  if (!force.path.starts_with('/')) return bad("force wants an absolute path");
  if (op == ListOp::kRemove) return force;
  if (parts->size() < 3 || parts->size() > 4) {
    return bad("write force+/path:sha256:HEX, maybe with :ACTION");
  }
  force.algorithm = (*parts)[1];
  force.hex = (*parts)[2];
  std::ranges::transform(force.hex, force.hex.begin(), [](unsigned char c) { return tolower(c); });
  const size_t digits = force.algorithm == "sha256" ? 64 : force.algorithm == "sha512" ? 128 : 0;
  if (!digits) return bad(fmt::format("'{}': only sha256 and sha512 are known", force.algorithm));
  if (force.hex.size() != digits ||
      force.hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    return bad(fmt::format("a {} checksum has {} hexadecimal digits", force.algorithm, digits));
  }
  if (parts->size() == 4) {
    const auto action = parse_action((*parts)[3]);
    if (!action || *action == Action::kAllow) {
      return bad(fmt::format("'{}' is no action of force", (*parts)[3]));
    }
    force.action = *action;
  }
  return force;
}

Parsed<Command> parse_switch(std::string_view categories, std::string_view value) {
  auto set = parse_categories(categories, true);
  if (!set) {
    if (categories == "proxy" || categories == "uring" || categories == "pty") {
      auto on = parse_bool(value);
      if (!on) return bad(on.error());
      if (*on && categories == "proxy") return bad("sandbox/proxy is reserved and not there yet");
      return command::Ignored{"there is nothing of this kind inside"};
    }
    return bad(set.error());
  }
  auto on = parse_bool(value);
  if (!on) return bad(on.error());
  if (set->set[index(Category::kSegvguard)]) return bad("segvguard/expiry:0 turns it off");
  return command::Switch{set->set, *on};
}

Parsed<Command> parse_default(std::string_view categories, std::string_view value) {
  if (categories == "block") {
    const auto action = parse_action(value);
    if (!action || *action == Action::kAllow) {
      return bad(fmt::format("'{}' is no action of block", value));
    }
    return command::BlockDefault{*action};
  }
  if (categories == "lock") {
    if (value == "kill" || value == "deny" || value == "warn") {
      return command::Ignored{"the lists of lock/ are Usk's own and always hold"};
    }
    return bad("default/lock is one of kill, deny, warn");
  }
  auto set = parse_categories(categories, true);
  if (!set) return bad(set.error());
  const auto action = parse_action(value);
  if (!action) return bad(fmt::format("'{}' is no action", value));
  return command::Default{set->set, *action};
}

// "90", "90s", "2m", "1h30m": seconds.
Parsed<uint64_t> parse_seconds(std::string_view text) {
  const auto error = [&] { return bad(fmt::format("'{}' is no time", text)); };
  uint64_t sum = 0;
  for (std::string_view rest = text;;) {
    uint64_t n = 0;
    const auto [end, code] = std::from_chars(rest.data(), rest.data() + rest.size(), n);
    if (code != std::errc()) return error();
    rest.remove_prefix(size_t(end - rest.data()));
    const size_t unit = rest.empty() ? 0 : std::string_view("smhd").find(rest[0]);
    if (unit == std::string_view::npos) return error();
    constexpr uint64_t kSeconds[] = {1, 60, 3600, 86400};
    uint64_t part = 0;
    if (__builtin_mul_overflow(n, kSeconds[unit], &part) ||
        __builtin_add_overflow(sum, part, &sum)) {
      return error();
    }
    if (!rest.empty()) rest.remove_prefix(1);
    if (rest.empty()) return sum;
  }
}

Parsed<uint64_t> parse_limit(command::SetLimit::Which which, std::string_view value) {
  using L = command::SetLimit;
  if (which == L::kMemMax || which == L::kMemVmMax) return parse_size(value);
  if (which == L::kTpeGid && value == "none") return L::kNone;
  if (which == L::kForceUmask && (value == "off" || value == "-1")) return L::kNone;
  if (which == L::kSegvExpiry || which == L::kSegvSuspension) {
    auto seconds = parse_seconds(value);
    if (!seconds) return seconds;
    if (which == L::kSegvSuspension && *seconds == 0) {
      return bad("segvguard/suspension is at least 1");
    }
    return *seconds > UINT32_MAX ? bad("this is too much") : seconds;
  }
  uint64_t n = 0;
  const int base = which == L::kForceUmask ? 8 : 10;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n, base);
  if (error != std::errc() || end != value.data() + value.size() || value.empty()) {
    return bad(fmt::format("'{}' is no number", value));
  }
  if (which == L::kForceUmask && n > 07777) return bad("a umask is at most 7777");
  if (which == L::kSegvCrashes && (n == 0 || n > 255)) {
    return bad("segvguard/maxcrashes is between 1 and 255");
  }
  if (n > UINT32_MAX) return bad("this is too much");
  return n;
}

constexpr std::array<std::string_view, size_t(command::SetLimit::kCount)> kLimitNames = {
    "mem/max",
    "mem/vm_max",
    "pid/max",
    "tpe/gid",
    "trace/force_umask",
    "segvguard/expiry",
    "segvguard/suspension",
    "segvguard/maxcrashes"};

// Commands that ask for what is so anyway, or that lift a restriction that there is not.
std::optional<std::string> reason_to_ignore(std::string_view name) {
  if (name.starts_with("unshare/")) return "a sandbox has namespaces of its own anyway";
  if (name.starts_with("log/")) return "see --explain and --audit";
  if (name == "ipc" || name.starts_with("ipc/")) return "usk policy tell reaches every sandbox";
  if (name == "trace/deny_exec_elf32") return "there are no programs of 32 bits";
  if (name.starts_with("trace/allow_")) return "there is no such restriction to lift";
  if (name == "trace/sync_seccomp" || name == "trace/exit_wait_all")
    return "it makes no difference";
  if (name == "trace/memory_access") return "it makes no difference";
  return std::nullopt;
}

Parsed<Command> parse_setting(std::string_view name, std::string_view value) {
  if (name.starts_with("sandbox/")) return parse_switch(name.substr(8), value);
  if (name.starts_with("default/")) return parse_default(name.substr(8), value);
  if (name == "lock") return parse_lock(value);
  for (size_t i = 0; i < kOptions.size(); i++) {
    if (kOptions[i].name != name) continue;
    auto on = parse_bool(value);
    if (!on) return bad(on.error());
    return command::SetOption{Option(i), *on};
  }
  if (const auto which = limit_of(name)) {
    auto n = parse_limit(*which, value);
    if (!n) return bad(n.error());
    return command::SetLimit{*which, *n};
  }
  if (const auto why = reason_to_ignore(name)) return command::Ignored{*why};
  return bad(fmt::format("'{}' is unknown, or not enforced by Usk", name));
}

Parsed<uint32_t> parse_id(std::string_view text) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == UINT32_MAX) {
    return bad(fmt::format("'{}' is no number of a user or group", text));
  }
  return id;
}

// SafeSetID. As syd(7) has it, nobody becomes one of the system's own users and groups.
Parsed<Command> parse_transition(IdKind kind, ListOp op, std::string_view rest) {
  constexpr uint32_t kLastSystemUser = 11, kLastSystemGroup = 14;
  command::Transition t{kind, op, {}, {}};
  if (op == ListOp::kClear && rest.empty()) return t;
  const size_t colon = rest.find(':');
  auto from = parse_id(rest.substr(0, colon));
  if (!from) return bad(from.error());
  t.from = *from;
  if (op == ListOp::kClear && colon == rest.npos) return t;
  if (op == ListOp::kClear || colon == rest.npos) return bad("write FROM:TO");
  auto to = parse_id(rest.substr(colon + 1));
  if (!to) return bad(to.error());
  t.to = *to;
  if (*to <= (kind == IdKind::kUser ? kLastSystemUser : kLastSystemGroup)) {
    return bad(fmt::format("{} is one of the system's own", *to));
  }
  return t;
}

// A list that is changed by NAME+..., NAME-..., NAME^...
Parsed<std::optional<Command>> parse_named_list(std::string_view text) {
  for (std::string_view name : {"mask", "append", "force", "block", "setuid", "setgid"}) {
    if (!text.starts_with(name) || text.size() == name.size()) continue;
    const char op = text[name.size()];
    const std::string_view rest = text.substr(name.size() + 1);
    if (name == "block" && op == '!' && rest.empty()) {
      return command::Ignored{"networks are few enough as they are"};
    }
    if (op != '+' && op != '-' && op != '^') continue;
    Parsed<Command> c = name == "mask"     ? parse_mark(Category::kMask, ListOp(op), rest)
                        : name == "append" ? parse_mark(Category::kAppend, ListOp(op), rest)
                        : name == "force"  ? parse_force(ListOp(op), rest)
                        : name == "setuid" ? parse_transition(IdKind::kUser, ListOp(op), rest)
                        : name == "setgid" ? parse_transition(IdKind::kGroup, ListOp(op), rest)
                                           : command::Block{ListOp(op), std::string(rest)};
    if (!c) return bad(c.error());
    return *std::move(c);
  }
  return std::nullopt;
}

}  // namespace

std::string_view name_of(Option o) { return kOptions[size_t(o)].name; }
std::string_view name_of(command::SetLimit::Which w) { return kLimitNames[w]; }
std::optional<command::SetLimit::Which> limit_of(std::string_view name) {
  for (size_t i = 0; i < kLimitNames.size(); i++) {
    if (kLimitNames[i] == name) return command::SetLimit::Which(i);
  }
  return std::nullopt;
}
bool initial_value(Option o) { return kOptions[size_t(o)].initial; }
bool strict_value(Option o) { return kOptions[size_t(o)].strict; }
std::string_view name_of(LockState s) { return kLockNames[size_t(s)]; }

Parsed<bool> parse_bool(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(), [](unsigned char c) { return tolower(c); });
  for (std::string_view t : {"on", "1", "true", "t", "yes", "y"}) {
    if (lower == t) return true;
  }
  for (std::string_view f : {"off", "0", "false", "f", "no", "n"}) {
    if (lower == f) return false;
  }
  return bad(fmt::format("'{}' is neither on nor off", text));
}

Parsed<uint64_t> parse_size(std::string_view text) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  std::string_view unit(end, size_t(text.data() + text.size() - end));
  if (error != std::errc()) return bad(fmt::format("'{}' is no size", text));
  int shift = 0;
  if (!unit.empty()) {
    const size_t at = std::string_view("kmgt").find(char(tolower(unit[0])));
    unit.remove_prefix(1);
    if (at == std::string_view::npos || (!unit.empty() && unit != "B" && unit != "iB")) {
      return bad(fmt::format("'{}' is no size", text));
    }
    shift = 10 * (int(at) + 1);
  }
  if (n > (UINT64_MAX >> shift)) return bad("the size is too large");
  return n << shift;
}

Parsed<Command> parse_command(std::string_view text) {
  if (text.empty()) return bad("the command is empty");
  if (text == "lock" || text == "l") return command::SetLock{LockState::kOn};
  for (bool profile : {false, true}) {
    const std::string_view word = profile ? "include_profile " : "include ";
    if (!text.starts_with(word)) continue;
    const size_t at = text.find_first_not_of(' ', word.size());
    if (at == text.npos) return bad("include wants a name");
    return command::Include{std::string(text.substr(at)), profile};
  }
  auto named = parse_named_list(text);
  if (!named) return bad(named.error());
  if (*named) return **std::move(named);
  const size_t slash = text.find('/');
  if (slash != text.npos) {
    if (const auto action = parse_action(text.substr(0, slash))) {
      return parse_list(*action, text.substr(slash + 1));
    }
  }
  const size_t colon = text.find(':');
  if (colon == text.npos) return bad(fmt::format("'{}' is no command", text));
  return parse_setting(text.substr(0, colon), text.substr(colon + 1));
}

}  // namespace usk::policy
