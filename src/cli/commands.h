// The subcommands of usk. Each adds itself to the command line and returns the exit code when run.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

namespace usk {

using Action = std::function<int()>;

// What stands after "--": the command to run, taken as it is.
std::vector<std::string>& words_after_dashes();

// Adds a subcommand; `chosen` is set to what is to be done when it was given.
void add_run_command(CLI::App& app, Action& chosen);
void add_debug_command(CLI::App& app, Action& chosen);

}  // namespace usk
