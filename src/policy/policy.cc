#include "policy/policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "policy/glob.h"
#include "policy/requests.h"

namespace usk::policy {
namespace {

constexpr size_t kMaxNotes = 1000;

// What of `categories` a pattern that looks like this can be for.
CategorySet suited(const CategorySet& categories, std::string_view pattern) {
  CategorySet out;
  const char first = pattern.empty() ? ' ' : pattern[0];
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (!categories[i]) continue;
    bool fits = true;
    switch (kind_of(Category(i))) {
      case Kind::kPath: fits = first == '/' || first == '!'; break;
      case Kind::kDescriptor: fits = first == '!'; break;
      case Kind::kSwitch:
      case Kind::kMark: fits = false; break;
      default: break;
    }
    out[i] = fits;
  }
  return out;
}

// The pattern of a rule of kinds that take names rather than paths.
Parsed<> parse_names(Rule& rule, Kind kind) {
  if (kind == Kind::kFileSystem) {
    std::string_view rest = rule.pattern;
    while (true) {
      const size_t comma = rest.find(',');
      rule.names.emplace_back(rest.substr(0, comma));
      if (comma == rest.npos) return {};
      rest.remove_prefix(comma + 1);
    }
  }
  auto numbers =
      kind == Kind::kRequest ? parse_requests(rule.pattern) : parse_families(rule.pattern);
  if (!numbers) return std::unexpected(numbers.error());
  rule.numbers = *std::move(numbers);
  return {};
}

// Names of objects have no empty, "." or ".." component and no slash at their end: a pattern with
// one would match nothing, while whoever wrote it counts on it. Slashes that follow each other are
// one. Two at the beginning come from a variable that is "/": where they allow, they stay, and
// match nothing, or somebody whose home is "/" would allow everything.
Parsed<> tidy_path(std::string& pattern, Action action) {
  if (!pattern.starts_with('/')) return {};
  const bool stays = pattern.starts_with("//") && allows(action);
  const auto [rest, end] =
      std::ranges::unique(pattern, [](char before, char c) { return before == '/' && c == '/'; });
  pattern.erase(rest, end);
  if (stays) pattern.insert(0, "/");
  const std::string components = pattern + "/";
  if (components.contains("/../") || components.contains("/./")) {
    return std::unexpected(fmt::format("'{}': no path has '.' or '..' in it", pattern));
  }
  if (pattern.size() > 1 && pattern.ends_with('/')) {
    return std::unexpected(
        fmt::format("'{}' ends with '/': a directory is PATH, and with what is "
                    "below it PATH/***",
                    pattern));
  }
  return {};
}

// lock/*: a directory, and what is below it; or ports.
Parsed<> parse_beneath(Rule& rule) {
  if (rule.action != Action::kAllow)
    return std::unexpected("lock/ has only lists of what is allowed");
  const std::string between = rule.pattern + "/";
  if (between.starts_with("../") || between.contains("/../")) {
    return std::unexpected("the paths of lock/ have no '..'");
  }
  if (rule.pattern[0] != '/') {
    const CategorySet sockets = set_of(Category::kLockBind) | set_of(Category::kLockConnect);
    auto ports = parse_ports(rule.pattern);
    if (!ports || (rule.categories & ~sockets).any()) {
      return std::unexpected("lock/ takes absolute paths, and ports for bind and connect");
    }
    rule.inet.networks = *parse_networks("any");
    rule.inet.ports = *std::move(ports);
    return {};
  }
  while (rule.pattern.size() > 1 && rule.pattern.back() == '/') rule.pattern.pop_back();
  rule.is_glob = true;
  return tidy_path(rule.pattern, rule.action);
}

// Fills in what the pattern says, for its categories.
Parsed<> parse_pattern(Rule& rule, const Categories& asked) {
  if (rule.pattern.find('\0') != std::string::npos)
    return std::unexpected("a byte 0 in the pattern");
  rule.categories = suited(asked.set, rule.pattern);
  if (asked.named && rule.categories != asked.set) rule.categories.reset();
  if (rule.categories.none()) {
    return std::unexpected(
        fmt::format("'{}' is no pattern for {}", rule.pattern, text_of(asked.set)));
  }
  std::optional<Kind> kind;
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (!rule.categories[i]) continue;
    Kind k = kind_of(Category(i));
    // A path is a socket's name, too.
    if (k == Kind::kAddress && rule.pattern[0] == '/') k = Kind::kPath;
    if (k == Kind::kDescriptor || (k == Kind::kAddress && rule.pattern[0] == '!')) k = Kind::kPath;
    if (kind && *kind != k) {
      return std::unexpected(
          fmt::format("one pattern cannot be for all of {}", text_of(asked.set)));
    }
    kind = k;
  }
  switch (*kind) {
    case Kind::kAddress: {
      auto address = parse_address(rule.pattern);
      if (!address) return std::unexpected(address.error());
      rule.is_glob = !address->unix_glob.empty();
      if (rule.is_glob) rule.pattern = address->unix_glob;
      if (auto ok = rule.is_glob ? tidy_path(rule.pattern, rule.action) : Parsed<>(); !ok)
        return ok;
      rule.inet = std::move(address->inet);
      return {};
    }
    case Kind::kBeneath: return parse_beneath(rule);
    case Kind::kRequest:
    case Kind::kFamily:
    case Kind::kFileSystem: return parse_names(rule, *kind);
    default: break;
  }
  rule.is_glob = true;
  if (auto ok = tidy_path(rule.pattern, rule.action); !ok) return ok;
  const auto glob = parse_glob(rule.pattern);
  if (!glob) return std::unexpected(glob.error());
  return {};
}

Option restriction_of(IdKind kind) {
  return kind == IdKind::kUser ? Option::kSafeSetuid : Option::kSafeSetgid;
}

// What the lists of ioctl(2) hold before anybody adds to them.
const std::vector<Rule>& first_rules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> out;
    for (const auto& [action, names] : {std::pair(Action::kAllow, requests_allowed_at_first()),
                                        std::pair(Action::kDeny, requests_denied_at_first())}) {
      Rule rule{.categories = set_of(Category::kIoctl), .action = action};
      rule.pattern = names;
      rule.source = {"built in", 0};
      rule.text = fmt::format("{}/ioctl+{}", name_of(action), names);
      if (auto numbers = parse_requests(names)) rule.numbers = *std::move(numbers);
      out.push_back(std::move(rule));
    }
    return out;
  }();
  return rules;
}

}  // namespace

Policy::Policy() {
  for (size_t i = 0; i < kCategoryCount; i++) on_[i] = on_by_default(Category(i));
  defaults_.fill(Action::kDeny);
  defaults_[index(Category::kPid)] = Action::kKill;
  for (size_t i = 0; i < kOptionCount; i++) options_[i] = initial_value(Option(i));
  limits_[command::SetLimit::kTpeGid] = command::SetLimit::kNone;
  limits_[command::SetLimit::kForceUmask] = 07000;
  limits_[command::SetLimit::kSegvExpiry] = 120;
  limits_[command::SetLimit::kSegvSuspension] = 600;
  limits_[command::SetLimit::kSegvCrashes] = 5;
  rules_ = first_rules();
}

Parsed<> Policy::add_rule(Rule rule) {
  if (rules_.size() >= kMaxRules) return std::unexpected("there are too many rules");
  rules_.push_back(std::move(rule));
  return {};
}

// Takes requests out of the lists of one action, wherever they were put in.
void Policy::remove_numbers(const Rule& like) {
  for (Rule& r : rules_) {
    if (r.action != like.action || (r.categories & like.categories).none()) continue;
    std::erase_if(r.numbers, [&](uint32_t n) {
      return std::ranges::find(like.numbers, n) != like.numbers.end();
    });
  }
  std::erase_if(rules_, [&](const Rule& r) {
    return (r.categories & like.categories).any() && r.numbers.empty();
  });
}

void Policy::remove_rules(const Rule& like, ListOp op) {
  if (!like.numbers.empty()) return remove_numbers(like);
  const bool all = op == ListOp::kClear && like.pattern.empty();
  CategorySet left = like.categories;
  for (size_t i = rules_.size(); i-- > 0 && left.any();) {
    Rule& r = rules_[i];
    const bool mark = (r.categories & (set_of(Category::kMask) | set_of(Category::kAppend))).any();
    if (!mark && r.action != like.action) continue;
    if (!all && r.pattern != like.pattern) continue;
    const CategorySet hit = r.categories & left;
    r.categories &= ~hit;
    if (op == ListOp::kRemove) left &= ~hit;
  }
  std::erase_if(rules_, [](const Rule& r) { return r.categories.none(); });
}

void Policy::note(const Source& source, std::string_view text, std::string_view why) {
  if (notes_.size() == kMaxNotes) return;
  notes_.push_back(fmt::format("{}: '{}' has no effect: {}", source.text(), text, why));
}

// What a name means is settled here: who is confined has no say in it.
void Policy::look_up(Rule& rule) {
  const auto glob = parse_glob(rule.inet.name);
  for (const HostName& h : hosts_) {
    if (glob && matches(*glob, h.name)) rule.inet.networks.push_back(h.address);
  }
  if (rule.inet.networks.empty()) note(rule.source, rule.text, "no host of that name is known");
}

Parsed<> Policy::apply_list(const command::List& c, const Source& source, std::string_view text) {
  Rule rule{.action = c.action, .pattern = c.pattern, .source = source, .text = std::string(text)};
  if (c.op == ListOp::kClear && c.pattern.empty()) {
    rule.categories = c.categories.set;
    remove_rules(rule, c.op);
    return {};
  }
  if (auto ok = parse_pattern(rule, c.categories); !ok) return ok;
  if (!rule.inet.name.empty()) look_up(rule);
  if (c.op == ListOp::kAdd) return add_rule(std::move(rule));
  remove_rules(rule, c.op);
  return {};
}

Parsed<> Policy::apply_mark(const command::Mark& c, const Source& source, std::string_view text) {
  Rule rule{.categories = set_of(c.category),
            .action = Action::kAllow,
            .pattern = c.pattern,
            .source = source,
            .text = std::string(text)};
  if (auto ok = tidy_path(rule.pattern, Action::kDeny); !ok) return ok;
  if (c.op != ListOp::kAdd) {
    remove_rules(rule, c.op);
    return {};
  }
  if (!c.pattern.starts_with('/')) return std::unexpected("the pattern must begin with '/'");
  const auto glob = parse_glob(c.pattern);
  if (!glob) return std::unexpected(glob.error());
  rule.is_glob = true;
  rule.file = c.file.empty() ? "/dev/null" : c.file;
  rule.directory = c.directory;
  return add_rule(std::move(rule));
}

Parsed<> Policy::apply_force(const command::Force& c, const Source& source, std::string_view text) {
  std::string path = c.path;
  if (auto ok = tidy_path(path, Action::kDeny); !ok) return ok;
  switch (c.op) {
    case ListOp::kClear: checksums_.clear(); break;
    case ListOp::kRemove: checksums_.erase(path); break;
    case ListOp::kAdd:
      if (checksums_.size() >= kMaxRules) return std::unexpected("there are too many rules");
      checksums_[path] = {c.algorithm, c.hex, c.action, source, std::string(text)};
  }
  return {};
}

Parsed<> Policy::apply_block(const command::Block& c, const Source& source) {
  if (c.op == ListOp::kClear) {
    blocked_.clear();
    return {};
  }
  auto networks = parse_networks(c.network);
  if (!networks) return std::unexpected(networks.error());
  for (const Network& n : *networks) {
    const Network block = Network::around(n.v6, n.address, n.bits);
    if (c.op == ListOp::kRemove) {
      blocked_.erase(block);
    } else if (blocked_.size() < kMaxBlocks) {
      blocked_.insert_or_assign(block, source);
    } else {
      return std::unexpected("there are too many networks");
    }
  }
  return {};
}

Parsed<> Policy::apply_limit(const command::SetLimit& c) {
  using L = command::SetLimit;
  limits_[c.which] = c.value;
  if (c.which == L::kMemMax || c.which == L::kMemVmMax) {
    if (c.value) on_[index(Category::kMem)] = true;
  }
  if (c.which == L::kPidMax) on_[index(Category::kPid)] = c.value != 0;
  return {};
}

// The first rule restricts everybody.
Parsed<> Policy::apply_transition(const command::Transition& c) {
  auto& list = transitions_[size_t(c.kind)];
  switch (c.op) {
    case ListOp::kClear:
      std::erase_if(list, [&](const auto& t) { return !c.from || t.first == *c.from; });
      break;
    case ListOp::kRemove:
      std::erase_if(list, [&](const auto& t) { return t.first == *c.from && t.second == *c.to; });
      break;
    case ListOp::kAdd:
      if (list.size() >= kMaxRules) return std::unexpected("there are too many rules");
      if (!list.emplace(*c.from, *c.to).second) {
        return std::unexpected(fmt::format("{} becomes {} already", *c.from, list[*c.from]));
      }
      options_[size_t(restriction_of(c.kind))] = true;
  }
  return {};
}

bool Policy::may_become(IdKind kind, uint32_t from, uint32_t to) const {
  if (!option(restriction_of(kind))) return true;
  const auto it = transitions_[size_t(kind)].find(from);
  return it != transitions_[size_t(kind)].end() && it->second == to;
}

Parsed<> Policy::apply(const Command& c, const Source& source, std::string_view text) {
  generation_++;
  struct Apply {
    Policy& p;
    const Source& source;
    std::string_view text;
    Parsed<> operator()(const command::Switch& c) {
      for (size_t i = 0; i < kCategoryCount; i++) p.on_[i] = c.categories[i] ? c.on : p.on_[i];
      return {};
    }
    Parsed<> operator()(const command::Default& c) {
      for (size_t i = 0; i < kCategoryCount; i++) {
        if (c.categories[i]) p.defaults_[i] = c.action;
      }
      return {};
    }
    Parsed<> operator()(const command::List& c) { return p.apply_list(c, source, text); }
    Parsed<> operator()(const command::Mark& c) { return p.apply_mark(c, source, text); }
    Parsed<> operator()(const command::Force& c) { return p.apply_force(c, source, text); }
    Parsed<> operator()(const command::SetOption& c) {
      p.options_[size_t(c.option)] = c.value;
      return {};
    }
    Parsed<> operator()(const command::SetLimit& c) { return p.apply_limit(c); }
    Parsed<> operator()(const command::SetLock& c) {
      p.lock_ = c.state;
      return {};
    }
    Parsed<> operator()(const command::Block& c) { return p.apply_block(c, source); }
    Parsed<> operator()(const command::BlockDefault& c) {
      p.block_action_ = c.action;
      return {};
    }
    Parsed<> operator()(const command::Transition& c) { return p.apply_transition(c); }
    Parsed<> operator()(const command::Include&) {
      return std::unexpected("include has no meaning here");
    }
    Parsed<> operator()(const command::Ignored& c) {
      p.note(source, text, c.why);
      return {};
    }
  };
  return std::visit(Apply{*this, source, text}, c);
}

Parsed<> Policy::apply(std::string_view text, const Source& source) {
  const auto command = parse_command(text);
  if (!command) return std::unexpected(command.error());
  return apply(*command, source, text);
}

bool Policy::tightens(const Command& c) const {
  struct Tightens {
    const Policy& p;
    bool operator()(const command::Switch& c) const { return c.on; }
    bool operator()(const command::Default& c) const {
      for (size_t i = 0; i < kCategoryCount; i++) {
        if (c.categories[i] && c.action < p.defaults_[i]) return false;
      }
      return true;
    }
    bool operator()(const command::List& c) const {
      return allows(c.action) ? c.op != ListOp::kAdd : c.op == ListOp::kAdd;
    }
    bool operator()(const command::Mark& c) const {
      return c.category == Category::kAppend && c.op == ListOp::kAdd;
    }
    bool operator()(const command::Force& c) const { return c.op == ListOp::kAdd; }
    bool operator()(const command::SetOption& c) const { return c.value == strict_value(c.option); }
    bool operator()(const command::SetLimit& c) const {
      using L = command::SetLimit;
      if (c.which == L::kTpeGid) return false;
      if (c.which == L::kForceUmask) {
        const uint64_t now = p.limits_[c.which] == L::kNone ? 0 : p.limits_[c.which];
        return c.value != L::kNone && (now & ~c.value) == 0;
      }
      const uint64_t now = p.limits_[c.which];
      if (c.which == L::kSegvExpiry || c.which == L::kSegvSuspension) return c.value >= now;
      return c.value != 0 && (now == 0 || c.value <= now);
    }
    bool operator()(const command::SetLock& c) const { return c.state >= LockState::kDrop; }
    bool operator()(const command::Block& c) const { return c.op == ListOp::kAdd; }
    bool operator()(const command::BlockDefault& c) const { return c.action >= p.block_action_; }
    bool operator()(const command::Transition& c) const {
      return c.op != ListOp::kAdd || !p.option(restriction_of(c.kind));
    }
    bool operator()(const command::Include&) const { return false; }
    bool operator()(const command::Ignored&) const { return true; }
  };
  return std::visit(Tightens{*this}, c);
}

Parsed<bool> Policy::query(std::string_view what) const {
  if (what.starts_with("sandbox/")) {
    const auto set = parse_categories(what.substr(8), true);
    if (!set) return std::unexpected(set.error());
    for (size_t i = 0; i < kCategoryCount; i++) {
      if (set->set[i] && !on_[i]) return false;
    }
    return true;
  }
  for (size_t i = 0; i < kOptionCount; i++) {
    if (name_of(Option(i)) == what) return options_[i];
  }
  return std::unexpected(fmt::format("'{}' cannot be asked", what));
}

std::string Policy::json() const {
  nlohmann::ordered_json out;
  out["lock"] = name_of(lock_);
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (kind_of(Category(i)) == Kind::kMark || kind_of(Category(i)) == Kind::kBeneath) continue;
    auto& entry = out["sandbox"][std::string(name_of(Category(i)))];
    entry["on"] = on_[i];
    entry["default"] = name_of(defaults_[i]);
  }
  for (size_t i = 0; i < kOptionCount; i++) out[std::string(name_of(Option(i)))] = options_[i];
  out["rules"] = nlohmann::ordered_json::array();
  for (const Rule& r : rules_) {
    out["rules"].push_back({{"action", name_of(r.action)},
                            {"categories", text_of(r.categories)},
                            {"pattern", r.pattern},
                            {"source", r.source.text()}});
  }
  // Rules may hold any bytes.
  return out.dump(1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace usk::policy
