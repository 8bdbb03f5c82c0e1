// usk: run programs in a sandbox. See `usk --help`.
#include "cli/commands.h"
#include "host/stream.h"

namespace usk {

std::vector<std::string>& words_after_dashes() {
  static std::vector<std::string> words;
  return words;
}

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
      "Exit code: the program's; 128+signal; 125 set-up, 126 cannot run, 127 not found.");
  Action chosen;
  // The command's own options are not ours to parse.
  int ours = 1;
  while (ours < argc && std::string_view(argv[ours]) != "--") ours++;
  if (ours < argc) words_after_dashes().assign(argv + ours + 1, argv + argc);
  add_run_command(app, chosen);
  add_debug_command(app, chosen);
  try {
    app.parse(ours, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fprintf(stderr, "usk: %s (see usk --help)\n", e.what());
    return kUsageError;
  }
  return chosen();
}

}  // namespace
}  // namespace usk

int main(int argc, char** argv) {
  usk::host::prepare_streams();
  return usk::main_function(argc, argv);
}
