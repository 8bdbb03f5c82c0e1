#include "policy/rule_book.h"

#include <algorithm>

#include "base/check.h"

namespace usk::policy {
namespace {

using enum Category;

// As with Landlock, these are rights to what is in a directory, never to the directory itself.
CategorySet changes_of_directories() {
  CategorySet out;
  for (Category c : {kLockCreate, kLockDelete, kLockRename, kLockSymlink, kLockMkdir, kLockRmdir,
                     kLockMkbdev, kLockMkcdev, kLockMkfifo, kLockBind}) {
    out |= set_of(c);
  }
  return out;
}

std::vector<Pattern> patterns_of(const Policy& policy) {
  std::vector<Pattern> out;
  for (size_t i = 0; i < policy.rules().size(); i++) {
    const Rule& r = policy.rules()[i];
    if (!r.is_glob) continue;
    const auto add = [&](std::string_view text, const CategorySet& categories) {
      auto glob = parse_glob(text);
      if (glob && categories.any()) out.push_back({*std::move(glob), categories, int32_t(i)});
    };
    const CategorySet names = r.categories & changes_of_directories();
    const CategorySet beneath = r.categories & ~names;
    if (names.none() && kind_of(Category(beneath._Find_first())) != Kind::kBeneath) {
      add(r.pattern == "!all" ? "!**" : r.pattern, r.categories);
      continue;
    }
    const std::string dir = r.pattern == "/" ? "" : escape_glob(r.pattern);
    add(dir + "/***", beneath);
    add(dir + "/**", names);
  }
  return out;
}

// What lock/ allows of itself, as its lists begin: syd(2), allow/lock/read and its like.
bool lock_allows_at_first(Category lock, std::string_view name) {
  if (name == "/dev/null") return lock == kLockRead || lock == kLockWrite || lock == kLockTruncate;
  if (lock != kLockRead && lock != kLockReaddir) return false;
  return name == "/proc" || name.starts_with("/proc/");
}

// The category of lock/ for a name that comes, by what it stands for.
Category lock_for_making(FileKind kind) {
  switch (kind) {
    case FileKind::kDirectory: return kLockMkdir;
    case FileKind::kSymlink: return kLockSymlink;
    case FileKind::kFifo: return kLockMkfifo;
    case FileKind::kSocket: return kLockBind;
    case FileKind::kBlock: return kLockMkbdev;
    case FileKind::kCharacter: return kLockMkcdev;
    case FileKind::kRegular: break;
  }
  return kLockCreate;
}
Category lock_for_removing(FileKind kind) {
  return kind == FileKind::kDirectory ? kLockRmdir : kLockDelete;
}
std::string_view parent_of(std::string_view path) { return path.substr(0, path.rfind('/')); }

}  // namespace

std::optional<Category> lock_category(Category c) {
  static constexpr std::pair<Category, Category> kPairs[] = {
      {kRead, kLockRead},       {kWrite, kLockWrite},       {kExec, kLockExec},
      {kCreate, kLockCreate},   {kMktemp, kLockCreate},     {kDelete, kLockDelete},
      {kIoctl, kLockIoctl},     {kSymlink, kLockSymlink},   {kTruncate, kLockTruncate},
      {kReaddir, kLockReaddir}, {kMkdir, kLockMkdir},       {kRmdir, kLockRmdir},
      {kMkbdev, kLockMkbdev},   {kMkcdev, kLockMkcdev},     {kMkfifo, kLockMkfifo},
      {kNetBind, kLockBind},    {kNetConnect, kLockConnect}};
  for (const auto& [from, to] : kPairs) {
    if (from == c) return to;
  }
  return std::nullopt;
}

RuleBook::RuleBook(const Policy& policy)
    : policy_(policy), matcher_(patterns_of(policy)), lock_on_(policy.is_on(kLock)) {
  for (const auto& [network, source] : policy.blocked()) {
    block_bits_[network.v6].insert(network.bits);
  }
  for (const Rule& r : policy.rules()) {
    if (!r.inet.ports.empty()) inet_.push_back(&r);
    if (!r.numbers.empty() || !r.names.empty()) by_list_.push_back(&r);
  }
}

Decision RuleBook::decide(Category c, int32_t rule) const {
  if (rule == Verdict::kNone) return {policy_.default_action(c), nullptr};
  const Rule& r = policy_.rules()[size_t(rule)];
  return {r.action, &r};
}

Decision RuleBook::by_name(Category c, std::string_view name) {
  if (lock_on_ && name.starts_with('/')) {
    const auto lock = lock_category(c);
    // It is made in the directory, which is the one that is named.
    const bool inside = c == kMktemp;
    if (lock && !lock_allows(*lock, inside ? std::string(name) + "/" : name)) {
      return {Action::kDeny, nullptr};
    }
  }
  const Verdict& v = matcher_.find(name);
  if (!policy_.is_on(c)) return {};
  return decide(c, v[c]);
}

bool RuleBook::lock_allows(Category lock, std::string_view name) {
  if (!lock_on_ || lock_allows_at_first(lock, name)) return true;
  return matcher_.find(name)[lock] != Verdict::kNone;
}

std::optional<Category> RuleBook::lock_against_move(std::string_view from, std::string_view to,
                                                    const Move& m) {
  if (!lock_on_) return std::nullopt;
  const auto allows = [&](Category lock, std::string_view name) { return lock_allows(lock, name); };
  const Category making = lock_for_making(m.kind), removing = lock_for_removing(m.kind);
  if (m.leaves && !allows(removing, from)) return removing;
  if (!allows(making, to)) return making;
  if (m.replaces && !allows(lock_for_removing(*m.replaces), to)) {
    return lock_for_removing(*m.replaces);
  }
  if (parent_of(from) == parent_of(to)) return std::nullopt;
  if (!allows(kLockRename, from) || !allows(kLockRename, to)) return kLockRename;
  return std::nullopt;
}

bool RuleBook::may_move(std::string_view from, std::string_view to, bool is_directory) {
  static constexpr Category kAccess[] = {kRead, kWrite, kExec, kTruncate, kReaddir, kStat};
  CategorySet of = set_of(kMask) | set_of(kAppend);
  for (Category c : kAccess) {
    if (policy_.is_on(c)) of |= set_of(c);
    if (const auto lock = lock_category(c); lock && lock_on_) of |= set_of(*lock);
  }
  const auto widens = [&](const std::string& a, const std::string& b) {
    for (Category c : kAccess) {
      if (!allows(by_name(c, a).action) && allows(by_name(c, b).action)) return true;
    }
    return mark(kMask, a) != mark(kMask, b) || mark(kAppend, a) != mark(kAppend, b);
  };
  if (widens(std::string(from), std::string(to))) return false;
  if (!is_directory) return true;
  switch (matcher_.compare_below(from, to, of)) {
    case Matcher::Below::kSame: return true;
    case Matcher::Below::kDiffers: return false;
    case Matcher::Below::kUniform: break;
  }
  return !widens(std::string(from) + "/", std::string(to) + "/");
}

const Rule* RuleBook::mark(Category c, std::string_view path) {
  const int32_t rule = matcher_.find(path)[c];
  return rule == Verdict::kNone ? nullptr : &policy_.rules()[size_t(rule)];
}

// A look for each length of a prefix that some network has, however many there are.
bool RuleBook::blocks(const InetAddress& address) {
  for (const uint8_t bits : block_bits_[address.v6]) {
    const auto it = policy_.blocked().find(Network::around(address.v6, address.address, bits));
    if (it == policy_.blocked().end()) continue;
    block_.source = it->second;
    block_.text = "block+" + it->first.text();
    return true;
  }
  return false;
}

Decision RuleBook::by_address(Category c, const InetAddress& address) {
  if (c == kNetConnect || c == kNetAccept) {
    if (blocks(address)) {
      if (!allows(policy_.block_action())) return {policy_.block_action(), &block_};
      const Decision otherwise = by_rules(c, address);
      return allows(otherwise.action) ? Decision{policy_.block_action(), &block_} : otherwise;
    }
  }
  return by_rules(c, address);
}

Decision RuleBook::by_rules(Category c, const InetAddress& address) const {
  const auto matches = [&](Category of, const Rule* r) {
    return r->categories[index(of)] && r->inet.matches(address);
  };
  if (lock_on_) {
    const auto lock = lock_category(c);
    if (lock && std::ranges::none_of(inet_, [&](auto* r) { return matches(*lock, r); })) {
      return {Action::kDeny, nullptr};
    }
  }
  if (!policy_.is_on(c)) return {};
  for (auto r = inet_.rbegin(); r != inet_.rend(); ++r) {
    if (matches(c, *r)) return {(*r)->action, *r};
  }
  return decide(c, Verdict::kNone);
}

template <class Matches>
Decision RuleBook::last(Category c, Matches matches) const {
  for (auto r = by_list_.rbegin(); r != by_list_.rend(); ++r) {
    if ((*r)->categories[index(c)] && matches(**r)) return {(*r)->action, *r};
  }
  return decide(c, Verdict::kNone);
}

Decision RuleBook::by_request(uint32_t request) const {
  if (!policy_.is_on(kIoctl)) return {};
  const auto named = [&](const Rule& r) {
    return std::ranges::find(r.numbers, request) != r.numbers.end();
  };
  const Decision denied =
      last(kIoctl, [&](const Rule& r) { return !allows(r.action) && named(r); });
  return denied.rule ? denied : last(kIoctl, named);
}

Decision RuleBook::by_family(uint32_t family) const {
  if (!policy_.is_on(kNetLink)) return {};
  return last(kNetLink, [&](const Rule& r) {
    return std::ranges::find(r.numbers, family) != r.numbers.end();
  });
}

Decision RuleBook::by_file_system(std::string_view type) const {
  if (!policy_.is_on(kFs)) return {};
  return last(kFs, [&](const Rule& r) {
    return std::ranges::find(r.names, type) != r.names.end() ||
           std::ranges::find(r.names, "all") != r.names.end();
  });
}

}  // namespace usk::policy
