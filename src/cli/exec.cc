// usk exec
#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/exec_terminal.h"
#include "control/client.h"
#include "host/environment.h"
#include "host/event_poll.h"
#include "host/file_io.h"
#include "host/terminal.h"

namespace usk {
namespace {

struct Asked {
  std::vector<std::string> command;  // The sandbox comes first.
  std::vector<std::string> env;
  std::string cwd, user;
  bool terminal = false;
  bool interactive = false;  // As docker has it; changes nothing.
};

// What arrives until the program's end; signals sent to us go to the program.
OrFailure<int> attend(ControlClient& client, int signals) {
  for (;;) {
    while (std::optional<Json> message = TRY(client.received())) {
      if (message->contains("exit")) return int(number_of(*message, "exit", 125));
    }
    if (host::wait_readable(client.fd(), signals) == host::ReadableOf::kFirst) {
      TRY(client.read());
    } else if (auto signal = host::next_signal(signals)) {
      TRY(client.send({{"op", "signal"}, {"signal", *signal}}));
    }
  }
}

// The environment of a program on a terminal says which kind the terminal is.
std::vector<std::string> asked_environment(const Asked& a) {
  std::vector<std::string> env = given_environment(a.env);
  std::string term;
  if (a.terminal && host::environment("TERM", term)) env.insert(env.begin(), "TERM=" + term);
  return env;
}

OrFailure<int> exec(Asked& a) {
  if (a.terminal && !host::terminal_attributes(0)) {
    return fail(
        "exec -t: standard input is not a terminal; leave -t out to pass input on as it is");
  }
  const std::string sandbox = a.command[0];
  a.command.erase(a.command.begin());
  if (!a.command.empty() && a.command[0] == "--") a.command.erase(a.command.begin());
  if (a.command.empty()) {
    return fail(fmt::format("exec: give a command, as in: usk exec {} ls", sandbox));
  }
  ControlClient client = TRY(ControlClient::open(sandbox));
  Json request = {{"op", "exec"},
                  {"argv", a.command},
                  {"env", asked_environment(a)},
                  {"cwd", a.cwd},
                  {"user", a.user}};
  if (a.terminal) return exec_on_terminal(client, std::move(request));
  auto signals = host::signals_as_fd({SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2});
  if (!signals) return fail(fmt::format("signalfd: {}", strerror(int(signals.error()))));
  // A terminal belongs to our session: reading it from the sandbox's could stop the whole sandbox.
  UniqueFd no_input;
  if (isatty(0)) {
    auto null = host::open_readonly("/dev/null");
    if (!null) return fail(fmt::format("/dev/null: {}", strerror(int(null.error()))));
    no_input = std::move(*null);
  }
  TRY(client.send(request, {no_input ? no_input.get() : 0, 1, 2}));
  return attend(client, signals->get());
}

}  // namespace

void add_exec_command(CLI::App& app, Action& chosen, const Command& command) {
  auto a = std::make_shared<Asked>();
  auto* cmd = app.add_subcommand("exec", "Run another command in a running sandbox");
  cmd->add_flag("-t,--tty", a->terminal, "On a terminal of its own, joined to this one");
  cmd->add_flag("-i,--interactive", a->interactive,
                "Standard input is passed on with and without this flag");
  cmd->add_option("--env,-e", a->env, "NAME=VALUE, or NAME to pass it on")->take_all()->expected(1);
  cmd->add_option("--cwd", a->cwd, "Working directory inside");
  cmd->add_option("--user,-u", a->user, "UID or UID:GID");
  cmd->footer("Usage: usk exec [OPTIONS] SANDBOX CMD [ARGS...]");
  cmd->final_callback([a, &command, &chosen] {
    if (command.empty()) throw CLI::RequiredError("a sandbox");
    a->command = command;
    chosen = [a] {
      auto code = exec(*a);
      return code ? *code : report(code.error());
    };
  });
}

}  // namespace usk
