// usk list
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/commands.h"
#include "control/client.h"

namespace usk {
namespace {

int list(bool as_json) {
  auto all = list_sandboxes();
  if (!all) return report(all.error());
  if (as_json) {
    Json out = Json::array();
    for (const SandboxEntry& e : *all) {
      out.push_back({{"id", e.id},
                     {"name", e.name},
                     {"pid", e.pid},
                     {"status", e.status},
                     {"created", e.created},
                     {"command", e.command}});
    }
    fmt::print("{}\n", to_text(out, 2));
    return 0;
  }
  fmt::print("{:12}  {:16}  {:>7}  {:8}  {:24}  {}\n", "ID", "NAME", "PID", "STATUS", "CREATED",
             "COMMAND");
  for (const SandboxEntry& e : *all) {
    fmt::print("{:12}  {:16}  {:>7}  {:8}  {:24}  {}\n", e.id, printable(e.name), e.pid,
               printable(e.status), printable(e.created),
               printable(fmt::format("{}", fmt::join(e.command, " "))));
  }
  return 0;
}

}  // namespace

void add_list_command(CLI::App& app, Action& chosen) {
  auto json = std::make_shared<bool>(false);
  auto* cmd = app.add_subcommand("list", "Show the running sandboxes");
  cmd->add_flag("--json", *json, "As a JSON array");
  cmd->final_callback([json, &chosen] { chosen = [json] { return list(*json); }; });
}

}  // namespace usk
