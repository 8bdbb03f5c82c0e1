#include "policy/rule_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/glob.h"

namespace usk::policy {
namespace {

std::unexpected<std::string> bad(std::string text) { return std::unexpected(std::move(text)); }

std::string_view trimmed(std::string_view text) {
  const auto blank = " \t\r";
  const size_t begin = text.find_first_not_of(blank);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) + 1 - begin);
}

bool is_name_byte(char c) { return isalnum(uint8_t(c)) || c == '_'; }

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

bool has_dot_dot(std::string_view path) {
  return path == ".." || path.starts_with("../") || path.ends_with("/..") ||
         path.find("/../") != path.npos;
}

// What is unpacked may be a directory with the name "*", and to be in it is not to allow what
// stands beside it.
bool stands_in_pattern(std::string_view before) {
  const size_t sign = before.find_first_of("+-^");
  if (sign == before.npos) return false;
  const std::string_view what = before.substr(0, sign);
  return what != "force" && !what.starts_with("include") && !what.contains("/lock");
}
bool is_place(std::string_view variable) { return variable == "SYD_PWD" || variable == "SYD_HOME"; }

}  // namespace

// $NAME, ${NAME}, ${NAME:-otherwise}; "$$" is one '$'. What has no value is an error: an empty
// text in its place would make a rule say more than was meant.
Parsed<std::string> RuleReader::expand(std::string_view text) const {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += text[++i];
      continue;
    }
    const bool braces = text[i + 1] == '{';
    const size_t begin = i + 1 + braces;
    size_t end = begin;
    while (end < text.size() && is_name_byte(text[end])) end++;
    const std::string name(text.substr(begin, end - begin));
    if (name.empty() && !braces) {
      out += text[i];
      continue;
    }
    std::optional<std::string> otherwise;
    if (braces) {
      const size_t close = text.find('}', end);
      if (close == text.npos || name.empty()) return bad("a '${' that is not closed");
      const std::string_view rest = text.substr(end, close - end);
      if (rest.starts_with(":-")) {
        otherwise = rest.substr(2);
      } else if (!rest.empty()) {
        return bad(fmt::format("'${{{}{}}}' is no variable", name, rest));
      }
      end = close + 1;
    }
    std::optional<std::string> value = around_.variable(name);
    if (otherwise && (!value || value->empty())) value = otherwise;
    if (!value) return bad(fmt::format("the variable {} is not set", name));
    out += is_place(name) && stands_in_pattern(out) ? escape_glob(*value) : *value;
    i = end - 1;
  }
  return out;
}

Parsed<> RuleReader::line(std::string_view text, const Source& source) {
  const auto place = [&](const std::string& error) {
    return bad(fmt::format("{}: {}", source.text(), error));
  };
  text = trimmed(text);
  if (text.empty() || text[0] == '#') return {};
  // From there on nobody may change anything.
  if (policy_.lock() == LockState::kOn || policy_.lock() == LockState::kRead) return {};
  auto expanded = expand(text);
  if (!expanded) return place(expanded.error());
  auto command = parse_command(*expanded);
  if (!command) return place(command.error());
  auto moved = from_here(*command, *expanded);
  if (!moved) return place(moved.error());
  if (*moved != *expanded) {
    expanded = std::move(moved);
    command = parse_command(*expanded);
    if (!command) return place(command.error());
  }
  if (const auto* i = std::get_if<command::Include>(&*command)) {
    if (i->profile) {
      Parsed<> ok = profile(i->what);
      return ok ? ok : place(ok.error());
    }
    return include(i->what, source);
  }
  if (auto ok = policy_.apply(*command, source, *expanded); !ok) return place(ok.error());
  return {};
}

// The paths of lock/ may be relative to where the sandbox is started; those of sockets, which stand
// beside ports, may not.
Parsed<std::string> RuleReader::from_here(const Command& command, std::string_view text) const {
  const auto* list = std::get_if<command::List>(&command);
  if (!list || list->pattern.empty() || list->pattern[0] == '/') return std::string(text);
  bool takes_paths = false;
  for (size_t i = 0; i < kCategoryCount; i++) {
    const auto c = Category(i);
    if (!list->categories.set[i]) continue;
    if (kind_of(c) != Kind::kBeneath) return std::string(text);
    takes_paths |= c != Category::kLockBind && c != Category::kLockConnect;
  }
  if (!takes_paths) return std::string(text);
  const auto directory = around_.variable("SYD_PWD");
  if (!directory) return bad("there is no directory for a relative path");
  std::string_view name = list->pattern;
  while (name.starts_with("./")) name.remove_prefix(2);
  const std::string_view before = text.substr(0, text.size() - list->pattern.size());
  if (name == ".") return fmt::format("{}{}", before, *directory);
  return fmt::format("{}{}{}{}", before, *directory, *directory == "/" ? "" : "/", name);
}

Parsed<> RuleReader::text(std::string_view text, const std::string& from) {
  Source source{from, 0};
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    source.line++;
    if (auto ok = line(text.substr(0, end), source); !ok) return ok;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return {};
}

Parsed<> RuleReader::rule(std::string_view text, const std::string& from) {
  return line(text, Source{from, 0});
}

// What a file includes lies in its own directory or below it.
Parsed<> RuleReader::include(const std::string& what, const Source& source) {
  const auto place = [&](const std::string& error) {
    return bad(fmt::format("{}: {}", source.text(), error));
  };
  if (open_.empty()) return place("only a file may include another");
  if (has_dot_dot(what)) return place("include must not leave the directory: no '..'");
  const std::string path = directory_of(open_.back()) + (what.starts_with('/') ? "" : "/") + what;
  if (std::ranges::find(open_, path) != open_.end()) {
    return place(fmt::format("{} includes itself", path));
  }
  if (path.ends_with(".ipset") || path.ends_with(".netset")) {
    auto ok = networks(path);
    return ok ? ok : place(ok.error());
  }
  return file(path);
}

// Lists of networks to block, one per line.
Parsed<> RuleReader::networks(const std::string& path) {
  const auto content = around_.read(path);
  if (!content) return bad(content.error());
  std::string_view rest = *content;
  for (int n = 1; !rest.empty(); n++) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view one = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (one.empty() || one[0] == '#') continue;
    const command::Block block{ListOp::kAdd, std::string(one)};
    if (auto ok = policy_.apply(block, {path, n}, one); !ok) {
      return bad(fmt::format("{}:{}: {}", path, n, ok.error()));
    }
  }
  return {};
}

Parsed<> RuleReader::file(const std::string& path) {
  if (int(open_.size()) >= kMaxDepth) return bad(path + ": files include each other too deeply");
  if (++files_ > kMaxFiles) return bad(path + ": there are too many files");
  const auto content = around_.read(path);
  if (!content) return bad(fmt::format("{}: {}", path, content.error()));
  if (content->size() > kMaxText) return bad(path + ": the file is too long");
  open_.push_back(path);
  auto ok = text(*content, path);
  open_.pop_back();
  return ok;
}

// "MPX": the profiles of these letters, one after the other.
bool RuleReader::is_letters(std::string_view name) {
  return name.size() > 1 && std::ranges::all_of(name, [](const char& c) {
           return profile_text(std::string_view(&c, 1)).has_value();
         });
}

Parsed<> RuleReader::profile(std::string_view name) {
  const auto content = profile_text(name);
  if (!content && is_letters(name)) {
    for (const char& c : name) {
      if (auto ok = profile(std::string_view(&c, 1)); !ok) return ok;
    }
    return {};
  }
  if (!content) return bad(fmt::format("there is no profile '{}'; see usk policy show", name));
  if (depth_ >= kMaxDepth) return bad("profiles include each other too deeply");
  depth_++;
  auto ok = text(*content, fmt::format("profile {}", name));
  depth_--;
  return ok;
}

Parsed<> RuleReader::load(const std::string& name) {
  if (name.find('/') == name.npos && profile_text(name)) return profile(name);
  // A file of that name goes before letters.
  if (is_letters(name) && !around_.read(name)) return profile(name);
  return file(name);
}

}  // namespace usk::policy
