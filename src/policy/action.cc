#include "policy/action.h"

#include <array>

namespace usk::policy {
namespace {
constexpr std::array<std::string_view, 9> kNames = {"allow", "warn",  "filter", "deny", "panic",
                                                    "stop",  "abort", "kill",   "exit"};
}  // namespace

std::string_view name_of(Action a) { return kNames[size_t(a)]; }

std::optional<Action> parse_action(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); i++) {
    if (kNames[i] == name) return Action(i);
  }
  return std::nullopt;
}

}  // namespace usk::policy
