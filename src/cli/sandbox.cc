// usk ps, kill, wait, pause, resume and stats: questions to a running sandbox.
#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/stats.h"
#include "control/client.h"

namespace usk {
namespace {

// A number, or a name with or without SIG; 0 for neither.
int parse_signal(std::string text) {
  if (!text.empty() && text.find_first_not_of("0123456789") == text.npos) {
    return text.size() > 2 ? 0 : std::stoi(text);
  }
  for (char& c : text) c = char(toupper(c));
  if (text.starts_with("SIG")) text.erase(0, 3);
  for (int s = 1; s < SIGRTMIN; s++) {
    const char* name = sigabbrev_np(s);
    if (name && text == name) return s;
  }
  return 0;
}

OrFailure<Json> ask(const std::string& wanted, const Json& request) {
  ControlClient client = TRY(ControlClient::open(wanted));
  return client.call(request);
}

// Hours, minutes and seconds of CPU time, as ps(1) shows them.
std::string cpu_time(int64_t ns) {
  const int64_t s = ns / 1'000'000'000;
  return fmt::format("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

std::string user_name(int64_t uid) { return uid == 0 ? "root" : std::to_string(uid); }

int ps(const std::string& wanted) {
  auto answer = ask(wanted, {{"op", "ps"}});
  if (!answer) return report(answer.error());
  fmt::print("{:>7} {:>7} {:8} {:5} {:8} {}\n", "PID", "PPID", "USER", "STATE", "TIME", "COMMAND");
  const Json processes = answer->value("processes", Json::array());
  for (const Json& p : processes) {
    if (!p.is_object()) continue;
    fmt::print("{:>7} {:>7} {:8} {:5} {:8} {}\n", number_of(p, "pid"), number_of(p, "ppid"),
               user_name(number_of(p, "uid")), printable(text_of(p, "state")),
               cpu_time(number_of(p, "time_ns")), printable(text_of(p, "command")));
  }
  return 0;
}

int kill_sandbox(const std::string& wanted, const std::string& name) {
  const int signal = parse_signal(name);
  if (signal < 1 || signal > 64) {
    return report({fmt::format("{}: not a signal; give a name such as TERM or a number", name)});
  }
  auto answer = ask(wanted, {{"op", "kill"}, {"signal", signal}});
  // Its process may end before the answer is out.
  if (!answer && !(signal == SIGKILL && answer.error().exit_code == ControlClient::kUnknownEnd)) {
    return report(answer.error());
  }
  return 0;
}

int wait_for(const std::string& wanted) {
  auto answer = ask(wanted, {{"op", "wait"}});
  if (!answer) return report(answer.error());
  return int(number_of(*answer, "exit", 125));
}

// "pause" or "resume".
int tell(const std::string& wanted, const char* what) {
  auto answer = ask(wanted, {{"op", what}});
  return answer ? 0 : report(answer.error());
}

int stats(const std::string& wanted, bool as_json) {
  auto answer = ask(wanted, {{"op", "stats"}});
  if (!answer) return report(answer.error());
  if (as_json) {
    fmt::print("{}\n", to_text(*answer, 2));
    return 0;
  }
  fmt::print("{}", stats_table(*answer));
  return 0;
}

struct Asked {
  std::string sandbox, signal = "KILL";
  bool json = false;
};

CLI::App* add(CLI::App& app, Action& chosen, const std::string& name, const std::string& help,
              std::shared_ptr<Asked> asked, std::function<int(const Asked&)> run) {
  auto* cmd = app.add_subcommand(name, help);
  cmd->add_option("sandbox", asked->sandbox, "Name, id or the beginning of an id")->required();
  cmd->final_callback([asked, run, &chosen] { chosen = [asked, run] { return run(*asked); }; });
  return cmd;
}

}  // namespace

void add_sandbox_commands(CLI::App& app, Action& chosen) {
  auto asked = std::make_shared<Asked>();
  add(app, chosen, "ps", "Show a sandbox's processes", asked,
      [](const Asked& a) { return ps(a.sandbox); });
  add(app, chosen, "kill", "Signal a sandbox's command, or end the sandbox", asked,
      [](const Asked& a) { return kill_sandbox(a.sandbox, a.signal); })
      ->add_option("signal", asked->signal, "Name or number; KILL, the default, ends all of it");
  add(app, chosen, "wait", "Wait for a sandbox's end and exit with its code", asked,
      [](const Asked& a) { return wait_for(a.sandbox); });
  add(app, chosen, "pause", "Let all of a sandbox's processes stand still", asked,
      [](const Asked& a) { return tell(a.sandbox, "pause"); });
  add(app, chosen, "resume", "Let a paused sandbox go on", asked,
      [](const Asked& a) { return tell(a.sandbox, "resume"); });
  add(app, chosen, "stats", "Show what a sandbox uses", asked, [](const Asked& a) {
    return stats(a.sandbox, a.json);
  })->add_flag("--json", asked->json, "As a JSON object");
}

}  // namespace usk
