#include "policy/category.h"

#include <fmt/format.h>

#include <array>

namespace usk::policy {
namespace {

struct Entry {
  std::string_view name;
  Kind kind;
  bool on;
};
constexpr std::array<Entry, kCategoryCount> kEntries = {{
#define CATEGORY(id, name, kind, on) {name, Kind::kind, on},
#include "policy/categories.def"
#undef CATEGORY
}};

using enum Category;

// syd(7), "SANDBOX CATEGORY SETS". "lock/NAME" of each is made of the same categories of lock/.
struct NamedSet {
  std::string_view name;
  std::initializer_list<Category> members;
};
const NamedSet kSets[] = {
    {"lpath", {kWalk, kList, kChdir, kReadlink}},
    {"npath", {kNotify, kStat}},
    {"rpath", {kRead, kReaddir}},
    {"wpath", {kWrite, kTruncate}},
    {"cpath", {kCreate, kDelete, kRename}},
    {"dpath", {kMkbdev, kMkcdev}},
    {"mkdev", {kMkbdev, kMkcdev}},
    {"spath", {kMkfifo, kSymlink}},
    {"tpath", {kMkdir, kRmdir}},
    {"fown", {kChown, kChgrp}},
    {"fattr", {kChmod, kChattr, kUtime}},
    {"net", {kNetBind, kNetConnect}},
    {"inet", {kNetBind, kNetConnect}},
    {"unix", {kNetBind, kNetConnect}},
    {"bnet", {kNetBind}},
    {"cnet", {kNetConnect}},
    {"passfd", {kSendfd, kRecvfd}},
    {"lock/rpath", {kLockRead, kLockReaddir}},
    {"lock/wpath", {kLockWrite, kLockTruncate}},
    {"lock/cpath", {kLockCreate, kLockDelete, kLockRename}},
    {"lock/dpath", {kLockMkbdev, kLockMkcdev}},
    {"lock/spath", {kLockMkfifo, kLockSymlink}},
    {"lock/tpath", {kLockMkdir, kLockRmdir}},
    {"lock/net", {kLockBind, kLockConnect}},
    {"lock/inet", {kLockBind, kLockConnect}},
    {"lock/bnet", {kLockBind}},
    {"lock/cnet", {kLockConnect}},
};

CategorySet set_of_members(std::initializer_list<Category> members) {
  CategorySet set;
  for (Category c : members) set.set(index(c));
  return set;
}

const NamedSet* find_set(std::string_view name) {
  for (const NamedSet& s : kSets) {
    if (s.name == name) return &s;
  }
  return nullptr;
}

// Everything that is decided by path, address or descriptor.
CategorySet everything() {
  CategorySet set;
  for (size_t i = 0; i < kCategoryCount; i++) {
    const Kind k = kEntries[i].kind;
    if (k == Kind::kPath || k == Kind::kAddress || k == Kind::kDescriptor) set.set(i);
  }
  return set;
}

// "all", "all-x", "all-lnx"; false for another name.
bool parse_all(std::string_view name, CategorySet& out) {
  if (!name.starts_with("all")) return false;
  CategorySet set = everything();
  std::string_view without = name.substr(3);
  if (!without.empty()) {
    if (without.size() < 2 || without[0] != '-') return false;
    for (char c : without.substr(1)) {
      if (c == 'x') {
        set.reset(index(kExec));
      } else if (c == 'l' || c == 'n') {
        set &= ~set_of_members(find_set(c == 'l' ? "lpath" : "npath")->members);
      } else {
        return false;
      }
    }
  }
  out |= set;
  return true;
}

bool parse_lock_all(std::string_view name, CategorySet& out) {
  if (name != "lock/all" && name != "lock/all-x") return false;
  for (size_t i = 0; i < kCategoryCount; i++) {
    const bool exec = Category(i) == kLockExec;
    if (kEntries[i].kind == Kind::kBeneath && !(exec && name.ends_with("-x"))) out.set(i);
  }
  return true;
}

bool parse_one(std::string_view name, bool switches, Categories& out) {
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (kEntries[i].name != name) continue;
    out.set.set(i);
    return true;
  }
  if (name == "net/sendfd") return out.set.set(index(kSendfd)), true;  // As it was called first.
  out.named = false;
  if (const NamedSet* s = find_set(name)) {
    out.set |= set_of_members(s->members);
    if (switches && name == "net") out.set |= set_of_members({kNetAccept, kNetLink});
    return true;
  }
  return parse_all(name, out.set) || parse_lock_all(name, out.set);
}

}  // namespace

std::string_view name_of(Category c) { return kEntries[index(c)].name; }
Kind kind_of(Category c) { return kEntries[index(c)].kind; }
bool on_by_default(Category c) { return kEntries[index(c)].on; }

bool hides(Category c) {
  switch (c) {
    case kWalk:
    case kList:
    case kStat:
    case kReadlink:
    case kChdir:
    case kNotify: return true;
    default: return false;
  }
}

Parsed<Categories> parse_categories(std::string_view text, bool switches) {
  Categories out;
  constexpr std::string_view kLock = "lock/";
  bool beneath = false;  // "lock/read,write": both are of lock/.
  while (true) {
    const size_t comma = text.find(',');
    std::string name(text.substr(0, comma));
    if (name.starts_with(kLock)) {
      beneath = true;
    } else if (beneath) {
      name.insert(0, kLock);
    }
    if (!parse_one(name, switches, out)) {
      return std::unexpected(fmt::format("'{}' is no category", name));
    }
    if (comma == text.npos) return out;
    text.remove_prefix(comma + 1);
  }
}

std::string text_of(const CategorySet& set) {
  std::string out;
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (!set[i]) continue;
    if (!out.empty()) out += ',';
    out += kEntries[i].name;
  }
  return out;
}

}  // namespace usk::policy
