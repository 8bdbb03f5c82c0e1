// The subcommands of usk. Each adds itself to the command line and returns the exit code when run.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "base/failure.h"
#include "boot/config.h"

namespace usk {

using Action = std::function<int()>;

// Each adds a subcommand; `chosen` is set to what is to be done when it was given. `command` is
// what cut_command() will have found by then.
using Command = std::vector<std::string>;
void add_run_command(CLI::App& app, Action& chosen, const Command& command);
void add_doctor_command(CLI::App& app, Action& chosen);
void add_learn_command(CLI::App& app, Action& chosen, const Command& command);
void add_debug_command(CLI::App& app, Action& chosen);
void add_gdb_flags(CLI::App& debug, Action& chosen);

// On a running sandbox.
void add_list_command(CLI::App& app, Action& chosen);
void add_exec_command(CLI::App& app, Action& chosen, const Command& command);
void add_sandbox_commands(CLI::App& app, Action& chosen);  // ps, kill, wait, pause, resume, stats

void add_checkpoint_command(CLI::App& app, Action& chosen);
void add_restore_command(CLI::App& app, Action& chosen);
void add_fork_command(CLI::App& app, Action& chosen);

// --autosave, --checkpoints
void add_image_flags(CLI::App* cmd, SandboxConfig& c);
// "10s", "500ms", "2m", "1.5": seconds unless it says otherwise. What is wrong with it, or nothing.
std::string parse_duration(const std::string& text, int64_t& ns);

// Hidden flags with which --test-autosave starts other processes of its own.
void add_autosave_flags(CLI::App* cmd, SandboxConfig& c);

// What sanitizers do at the end of a process is not on the list of its calls.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kConfines = false;
#else
constexpr bool kConfines = true;
#endif

// What a shell shows of a wait status.
int exit_code(int status);

void add_policy_commands(CLI::App& app, Action& chosen);  // policy, audit, why
void add_trace_command(CLI::App& app, Action& chosen);

// Prints the one line of a failure; its exit code.
int report(const Failure& failure);
// -e NAME=VALUE as it is; NAME with its value here, or left out.
std::vector<std::string> given_environment(const std::vector<std::string>& given);

// Takes the command line that ends the arguments of `cmd` out of them: it begins at the first
// argument that is no flag, or after "--".
std::vector<std::string> cut_command(const CLI::App& cmd, std::vector<std::string>& args);

}  // namespace usk
