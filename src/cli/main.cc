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

int main_function(int argc, char** argv) {
  CLI::App app("Usk runs untrusted Linux programs under a kernel of its own.", "usk");
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  usk run -- python3 -c 'print(42)'          the current directory is copy-on-write\n"
      "  usk run --rw . -- make                     changes stay\n"
      "  usk run --trace --tmpfs /data -- ls /data  print system calls\n"
      "  usk run --name web -- ./serve &            then: usk exec web sh -c ps; usk kill web\n"
      "Exit code: the program's; 128+signal; 125 set-up, 126 cannot run, 127 not found.");
  Action chosen;
  Command command;
  add_run_command(app, chosen, command);
  add_learn_command(app, chosen, command);
  add_list_command(app, chosen);
  add_exec_command(app, chosen, command);
  add_sandbox_commands(app, chosen);
  add_trace_command(app, chosen);
  add_doctor_command(app, chosen);
  add_policy_commands(app, chosen);
  add_debug_command(app, chosen);
  add_checkpoint_command(app, chosen);
  add_restore_command(app, chosen);
  add_fork_command(app, chosen);
  std::vector<std::string> args(argv + 1, argv + argc);
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
