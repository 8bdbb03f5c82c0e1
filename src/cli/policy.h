// Policies as the command line names them.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "base/failure.h"
#include "boot/config.h"

namespace usk {

// What `usk run` is given.
struct PolicyFlags {
  std::vector<std::string> files, rules;  // --policy, --policy-rule
  std::string hosts;                      // --policy-hosts
  // Adds them, and those for what is reported, to `cmd`.
  void add_to(CLI::App& cmd, SandboxConfig& config);
  // Fills in config.policy, if one was asked for.
  OrFailure<void> read(SandboxConfig& config) const;
};

}  // namespace usk
