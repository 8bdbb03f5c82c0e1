// What a policy decided about one call, and why: for --explain, usk why and the audit log.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "policy/rule.h"

namespace usk {

struct Denial {
  struct Process {
    int pid = 0;
    std::string comm;
  };
  uint64_t id = 0;
  timespec time{};
  std::vector<Process> tree;  // Who called, its parent, and so on; empty: the sandbox's start.
  std::string call;
  std::string category, object;
  policy::Action action = policy::Action::kDeny;
  bool allowed = false;  // "warn", or warn-only mode.
  int error = 0;         // What the call failed with.
  std::string rule;      // As it was written; empty: no rule allows it.
  std::string source;    // FILE:LINE
  std::string hint;      // A rule that would allow it.

  // One line for a person.
  std::string text() const;
  nlohmann::ordered_json json() const;
};

// Text of the guest's for one line: what a terminal would obey is shown as \xNN.
std::string one_line(std::string_view text);

}  // namespace usk
