#include "kernel/core/name.h"

#include <algorithm>

namespace usk {
namespace {

// A name becomes one component of a path that leads nowhere else.
std::string one_component(std::string text) {
  std::replace(text.begin(), text.end(), '/', '!');
  if (text.empty()) return "!";
  if (text == "." || text == "..") text[0] = '!';
  return text;
}

std::string base_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

// What follows a '%'; nothing for an unknown letter.
std::string expand(char specifier, const CoreFacts& f) {
  switch (specifier) {
    case '%': return "%";
    case 'p': return std::to_string(f.pid);
    case 'P': return std::to_string(f.root_pid);
    case 'i': return std::to_string(f.tid);
    case 'I': return std::to_string(f.root_tid);
    case 'u': return std::to_string(f.uid);
    case 'g': return std::to_string(f.gid);
    case 'd': return std::to_string(f.dumpable);
    case 's': return std::to_string(f.signal);
    case 't': return std::to_string(f.time);
    case 'h': return one_component(f.host);
    case 'e': return one_component(f.comm);
    case 'f': return one_component(base_name(f.executable));
    case 'E': return one_component(f.executable);
    case 'c': return std::to_string(f.limit);
    case 'C': return std::to_string(f.cpu);
    default: return {};
  }
}

std::string expand_all(std::string_view pattern, const CoreFacts& facts) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); i++) {
    if (pattern[i] != '%') {
      out += pattern[i];
    } else if (++i < pattern.size()) {
      out += expand(pattern[i], facts);
    }
  }
  return out;
}

bool names_pid(std::string_view pattern) {
  for (size_t i = 0; i + 1 < pattern.size(); i++) {
    if (pattern[i] == '%' && pattern[++i] == 'p') return true;
  }
  return false;
}

}  // namespace

std::string core_name(std::string_view pattern, bool uses_pid, const CoreFacts& facts) {
  std::string name = expand_all(pattern, facts);
  if (uses_pid && !names_pid(pattern)) name += "." + std::to_string(facts.pid);
  return name;
}

std::vector<std::string> core_command(std::string_view pattern, const CoreFacts& facts) {
  constexpr std::string_view kBlanks = " \t\n";
  std::vector<std::string> out;
  pattern.remove_prefix(std::min<size_t>(pattern.size(), 1));
  while (true) {
    const size_t start = pattern.find_first_not_of(kBlanks);
    if (start == pattern.npos) return out;
    pattern.remove_prefix(start);
    const size_t end = std::min(pattern.find_first_of(kBlanks), pattern.size());
    out.push_back(expand_all(pattern.substr(0, end), facts));
    pattern.remove_prefix(end);
  }
}

}  // namespace usk
