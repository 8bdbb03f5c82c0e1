#include "policy/rule_book.h"

#include <algorithm>

#include "base/check.h"

namespace usk::policy {
namespace {

using enum Category;

std::vector<Pattern> patterns_of(const Policy& policy) {
  std::vector<Pattern> out;
  for (size_t i = 0; i < policy.rules().size(); i++) {
    const Rule& r = policy.rules()[i];
    if (!r.is_glob) continue;
    bool beneath = false;
    for (size_t c = 0; c < kCategoryCount; c++) {
      beneath |= r.categories[c] && kind_of(Category(c)) == Kind::kBeneath;
    }
    std::string text = r.pattern == "!all" ? "!**" : r.pattern;
    if (beneath) text = text == "/" ? "/***" : escape_glob(text) + "/***";
    auto glob = parse_glob(text);
    if (glob) out.push_back({*std::move(glob), r.categories, int32_t(i)});
  }
  return out;
}

// What lock/ allows of itself, as its lists begin (syd(2), allow/lock/read and allow/lock/write).
bool lock_allows_at_first(Category lock, std::string_view name) {
  if (name == "/dev/null") return lock == kLockRead || lock == kLockWrite;
  return lock == kLockRead && (name == "/proc" || name.starts_with("/proc/"));
}

}  // namespace

std::optional<Category> lock_category(Category c) {
  static constexpr std::pair<Category, Category> kPairs[] = {
      {kRead, kLockRead},       {kWrite, kLockWrite},       {kExec, kLockExec},
      {kCreate, kLockCreate},   {kMktemp, kLockCreate},     {kDelete, kLockDelete},
      {kRename, kLockRename},   {kSymlink, kLockSymlink},   {kTruncate, kLockTruncate},
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
  const Verdict& v = matcher_.find(name);
  const auto lock = lock_on_ && name.starts_with('/') ? lock_category(c) : std::nullopt;
  if (lock && v[*lock] == Verdict::kNone && !lock_allows_at_first(*lock, name)) {
    return {Action::kDeny, nullptr};
  }
  if (!policy_.is_on(c)) return {};
  return decide(c, v[c]);
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

Decision RuleBook::by_address(Category c, const InetAddress& address) {
  const auto matches = [&](Category of, const Rule* r) {
    return r->categories[index(of)] && r->inet.matches(address);
  };
  if (c == kNetConnect || c == kNetAccept) {
    const auto in = [&](const Network& n) { return n.contains(address.v6, address.address); };
    if (std::ranges::any_of(policy_.blocked(), in)) return {Action::kDeny, nullptr};
  }
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
