// What a rule is about: the categories of syd(7), "SANDBOXING", and the sets of them.
#pragma once
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace usk::policy {

// Why text of a person is no rule: one line, without the place.
template <class T = void>
using Parsed = std::expected<T, std::string>;

enum class Category : uint8_t {
#define CATEGORY(id, name, kind, on) id,
#include "policy/categories.def"
#undef CATEGORY
  kCount,
};
constexpr size_t kCategoryCount = size_t(Category::kCount);

// What the patterns of a category match against.
enum class Kind : uint8_t {
  kPath,        // A path; of kCreate also the name of a thing without one: "!memfd:NAME".
  kAddress,     // An address of the network, a socket's path, "@abstract", "!unnamed".
  kDescriptor,  // What a descriptor stands for: "!file", "!pipe".
  kRequest,     // An ioctl(2) by name or number.
  kFamily,      // A netlink(7) family.
  kFileSystem,  // The type of a file system.
  kBeneath,     // lock/*: a directory and all below it.
  kSwitch,      // It may be on and have a default action, but has no patterns.
  kMark,        // Paths that are treated specially, by commands of their own.
};

using CategorySet = std::bitset<kCategoryCount>;

constexpr size_t index(Category c) { return size_t(c); }
inline CategorySet set_of(Category c) { return CategorySet().set(index(c)); }

std::string_view name_of(Category c);
Kind kind_of(Category c);
bool on_by_default(Category c);
// Whether who is denied sees nothing there (ENOENT) instead of being refused (EACCES).
bool hides(Category c);

// "read", "read,write,stat", "wpath", "all-x", "lock/read,write". In "sandbox/net" and
// "default/net" (`switches`) net is all of the network; in a rule it is what takes addresses.
struct Categories {
  CategorySet set;
  bool named = true;  // Each by its own name, rather than by that of a set.
};
Parsed<Categories> parse_categories(std::string_view text, bool switches);

// "read,write,stat": in the order of the list above.
std::string text_of(const CategorySet& set);

}  // namespace usk::policy
