#include "policy/learn.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "policy/glob.h"

namespace usk::policy {
namespace {

// Trees that are one thing, with all that is in them.
constexpr std::string_view kWhole[] = {"/usr",     "/bin",     "/sbin",    "/lib",       "/lib32",
                                       "/lib64",   "/libx32",  "/opt",     "/sys",       "/tmp",
                                       "/var/tmp", "/dev/shm", "/var/lib", "/var/cache", "/run"};
constexpr std::string_view kSecrets[] = {
    "/**/.ssh/***", "/**/.gnupg/***",      "/**/.aws/***", "/**/.netrc",   "/etc/*shadow*",
    "/**/*.pem",    "/**/*credentials*",   "/**/.env",     "/**/id_[re]*", "/**/.npmrc",
    "/**/.pypirc",  "/**/.docker/config*", "/**/*.key",    "/**/.kube/***"};
// So many names of a directory become all of its names.
constexpr size_t kMany = 6;

bool is_below(std::string_view path, std::string_view dir) {
  return dir.size() > 1 && path.starts_with(dir) &&
         (path.size() == dir.size() || path[dir.size()] == '/');
}

// As a pattern of a line that is expanded: globs and variables mean nothing.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : escape_glob(text)) {
    out += c;
    if (c == '$') out += c;
  }
  return out;
}

// The names are those of the program: none may begin a line of its own.
std::string in_a_line(const std::string& pattern) {
  const bool odd = std::ranges::any_of(pattern, [](unsigned char c) { return c < 32 || c == 127; });
  if (!odd && pattern.back() != ' ') return pattern;
  std::string out;
  for (size_t i = 0; i < pattern.size(); i++) {
    out += fmt::format("{:02x}", uint8_t(pattern[i]));
    if (pattern.substr(i, 2) == "$$") i++;  // Digits are not expanded.
  }
  return out;
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

bool is_secret(std::string_view path) {
  return std::ranges::any_of(kSecrets, [&](std::string_view s) {
    const auto glob = parse_glob(s);
    return glob && matches(*glob, path);
  });
}

// "/proc/12/fd/3": numbers are of this run only.
std::string without_numbers(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/', 1), path.size());
    const std::string_view part = path.substr(1, end - 1);
    out += "/" + (is_number(part) ? "[0-9]*" : escaped(part));
    path.remove_prefix(end);
  }
  return out;
}

// Who connects has another port each time.
std::string without_port(std::string_view address) {
  const size_t mark = address.rfind('!');
  if (!address.starts_with("tcp!")) return std::string(address);
  return std::string(address.substr(0, mark)) + "!*";
}

// The pattern that stands for an object.
std::string pattern_for(const std::string& object, const LearnedFrom& from) {
  if (object.starts_with("tcp!") && object.ends_with("!*")) return object;
  if (!object.starts_with('/')) return escaped(object);
  if (is_below(object, from.directory)) return "${SYD_PWD}/***";
  if (is_secret(object)) return escaped(object);
  for (std::string_view tree : kWhole) {
    if (is_below(object, tree)) return std::string(tree) + "/***";
  }
  if (is_below(object, "/proc") || is_below(object, "/dev/pts")) return without_numbers(object);
  if (object != from.home && is_below(object, from.home)) {
    const size_t end = object.find('/', from.home.size() + 1);
    const std::string first = object.substr(from.home.size(), end - from.home.size());
    const bool odd = in_a_line(first) != first;
    if (odd) return escaped(object);
    return "${SYD_HOME}" + escaped(first) + (end == object.npos ? "" : "/***");
  }
  return escaped(object);
}

std::string directory_of(const std::string& pattern) {
  const size_t slash = pattern.rfind('/');
  return slash == pattern.npos || slash == 0 ? "" : pattern.substr(0, slash);
}

using Patterns = std::map<std::string, CategorySet>;

// Takes many names of one directory together.
Patterns gathered(const Patterns& patterns) {
  std::map<std::string, size_t> count;
  const auto is_plain = [](const std::string& p) {
    return p.starts_with('/') && p.find_first_of("*?[") == p.npos && !is_secret(p);
  };
  for (const auto& [p, set] : patterns) count[directory_of(p)] += is_plain(p);
  Patterns out;
  for (const auto& [p, set] : patterns) {
    const std::string dir = directory_of(p);
    const bool many = is_plain(p) && !dir.empty() && count[dir] >= kMany;
    out[many ? dir + "/*" : p] |= set;
  }
  return out;
}

CategorySet of_kind(const CategorySet& set, Kind kind) {
  CategorySet out;
  for (size_t i = 0; i < kCategoryCount; i++) out[i] = set[i] && kind_of(Category(i)) == kind;
  return out;
}

}  // namespace

void Deeds::add(Category category, std::string_view object) {
  const std::string any = category == Category::kNetAccept ? without_port(object) : std::string();
  if (!any.empty()) object = any;
  const auto it = objects.find(std::string(object));
  if (it != objects.end()) {
    it->second |= set_of(category);
  } else if (objects.size() < kMax) {
    objects.emplace(object, set_of(category));
  } else {
    complete = false;
  }
}

std::string write_profile(const Deeds& deeds, const LearnedFrom& from) {
  std::string out = fmt::format("# Learned from: {}\n", from.command);
  if (!deeds.complete) out += "# It did more than could be kept: this is not all.\n";
  for (const std::string& o : deeds.options) out += o + "\n";
  Patterns patterns;
  for (const auto& [object, set] : deeds.objects) {
    patterns[pattern_for(object, from)] |= set;
    // malloc(3) looks at it when a heap shrinks, which a single run need not show.
    if (object.ends_with("/libc.so.6")) {
      patterns["/proc/sys/vm/overcommit_memory"] |= set_of(Category::kRead);
    }
  }
  for (const auto& [pattern, set] : gathered(patterns)) {
    if (is_secret(pattern)) out += "# This looks like a secret: is it needed?\n";
    // Each kind has patterns of its own; a path is a socket's name, too.
    for (Kind kind : {Kind::kPath, Kind::kAddress, Kind::kDescriptor, Kind::kRequest, Kind::kFamily,
                      Kind::kFileSystem}) {
      const CategorySet some = of_kind(set, kind);
      if (some.any()) out += fmt::format("allow/{}+{}\n", text_of(some), in_a_line(pattern));
    }
  }
  return out;
}

}  // namespace usk::policy
