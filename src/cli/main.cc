// usk: run programs in a sandbox. See `usk --help`.
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <system_error>

#include "cli/commands.h"
#include "host/stream.h"

namespace usk {

namespace {

constexpr int kUsageError = 125;

struct Commands {
  std::vector<std::string_view> names;
  std::function<void(CLI::App&, Action&, const Command&)> add;
};

// In the order of the help text.
std::vector<Commands> all_commands() {
  const auto plain = [](void (*add)(CLI::App&, Action&)) {
    return [add](CLI::App& app, Action& chosen, const Command&) { add(app, chosen); };
  };
  return {{{"run"}, add_run_command},
          {{"learn"}, add_learn_command},
          {{"list"}, plain(add_list_command)},
          {{"exec"}, add_exec_command},
          {{"ps", "kill", "wait", "pause", "resume", "stats"}, plain(add_sandbox_commands)},
          {{"trace"}, plain(add_trace_command)},
          {{"doctor"}, plain(add_doctor_command)},
          {{"policy", "audit", "why"}, plain(add_policy_commands)},
          {{"debug"}, plain(add_debug_command)},
          {{"checkpoint"}, plain(add_checkpoint_command)},
          {{"restore"}, plain(add_restore_command)},
          {{"fork"}, plain(add_fork_command)}};
}

// The one that is named; all, for who wants to read of them. Hundreds of flags that nobody asked
// for would be a tenth of what a sandbox takes to start.
void add_commands(std::string_view name, CLI::App& app, Action& chosen, const Command& command) {
  const auto all = all_commands();
  const auto named = std::ranges::find_if(
      all, [&](const Commands& c) { return std::ranges::count(c.names, name) > 0; });
  if (named != all.end()) return named->add(app, chosen, command);
  for (const Commands& c : all) c.add(app, chosen, command);
}

int main_function(int argc, char** argv) {
  CLI::App app("Usk runs untrusted Linux programs under a kernel of its own.", "usk");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  usk run -- python3 -c 'print(42)'          the current directory is copy-on-write\n"
      "  usk run --rw . -- make                     changes stay\n"
      "  usk run --trace --tmpfs /data -- ls /data  print system calls\n"
      "  usk run --name web -- ./serve &            then: usk exec web sh -c ps; usk kill web\n"
      "Exit code: the program's; 128+signal; 125 set-up, 126 cannot run, 127 not found "
      "or not known.");
  Action chosen;
  Command command;
  std::vector<std::string> args(argv + 1, argv + argc);
  add_commands(args.empty() ? "" : args[0], app, chosen, command);
  if (!args.empty() && (args[0] == "run" || args[0] == "learn" || args[0] == "exec")) {
    command = cut_command(*app.get_subcommand(args[0]), args);
  }
  try {
    std::ranges::reverse(args);  // As CLI11 takes them.
    app.parse(std::move(args));
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fprintf(stderr, "usk: %s (see usk --help)\n", e.what());
    return kUsageError;
  }
  try {
    const int code = chosen();
    if (fflush(stdout) == 0) return code;
  } catch (const std::system_error&) {  // What fmt::print does when it cannot write.
  }
  return report({fmt::format("cannot write to standard output: {}", strerror(errno))});
}

}  // namespace

std::vector<std::string> cut_command(const CLI::App& cmd, std::vector<std::string>& args) {
  size_t at = 1;  // Behind the subcommand.
  while (at < args.size() && args[at] != "--" && args[at].starts_with('-')) {
    const std::string& arg = args[at++];
    const bool is_long = arg.starts_with("--");
    const CLI::Option* o = cmd.get_option_no_throw(is_long ? arg.substr(0, arg.find('=')) : arg);
    if (o && o->get_items_expected_min() > 0 && arg.find('=') == arg.npos) at++;
  }
  at = std::min(at, args.size());
  const bool marked = at < args.size() && args[at] == "--";
  std::vector<std::string> command(args.begin() + long(at + marked), args.end());
  args.resize(at);
  return command;
}

}  // namespace usk

int main(int argc, char** argv) {
  usk::host::prepare_streams();
  return usk::main_function(argc, argv);
}
