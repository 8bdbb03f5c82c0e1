// What a policy says, for a person: /dev/syd/stat.
#include <fmt/format.h>

#include "policy/policy.h"

namespace usk::policy {
namespace {

// Patterns may hold any bytes; a terminal is to obey none of them.
std::string harmless(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) {
    const bool plain = c >= 0x20 && c < 0x7f;
    out += plain ? std::string(1, char(c)) : fmt::format("\\x{:02x}", c);
  }
  return out;
}

}  // namespace

std::string Policy::summary() const {
  std::string out = fmt::format("lock:{}\n", name_of(lock_));
  CategorySet on;
  for (size_t i = 0; i < kCategoryCount; i++) {
    const Kind kind = kind_of(Category(i));
    on[i] = on_[i] && kind != Kind::kMark && kind != Kind::kBeneath;
  }
  out += fmt::format("sandbox/{}:on\n", text_of(on));
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (!on[i] || defaults_[i] == Action::kDeny) continue;
    out += fmt::format("default/{}:{}\n", name_of(Category(i)), name_of(defaults_[i]));
  }
  for (size_t i = 0; i < kOptionCount; i++) {
    if (options_[i]) out += fmt::format("{}:1\n", name_of(Option(i)));
  }
  for (size_t i = 0; i < limits_.size(); i++) {
    const auto which = command::SetLimit::Which(i);
    if (!limits_[i] || limits_[i] == command::SetLimit::kNone) continue;
    out += which == command::SetLimit::kForceUmask
               ? fmt::format("{}:{:o}\n", name_of(which), limits_[i])
               : fmt::format("{}:{}\n", name_of(which), limits_[i]);
  }
  for (const Rule& r : rules_) {
    out += fmt::format("{}  # {}\n", harmless(r.text), harmless(r.source.text()));
  }
  for (const auto& [path, c] : checksums_) {
    out += fmt::format("{}  # {}\n", harmless(c.text), harmless(c.source.text()));
  }
  if (block_action_ != Action::kDeny) {
    out += fmt::format("default/block:{}\n", name_of(block_action_));
  }
  for (const auto& [network, source] : blocked_) {
    out += fmt::format("block+{}  # {}\n", network.text(), harmless(source.text()));
  }
  return out;
}

}  // namespace usk::policy
