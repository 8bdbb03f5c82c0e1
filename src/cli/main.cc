// usk: run programs in a sandbox. See `usk --help`.
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/log.h"
#include "boot/sandbox.h"
#include "host/environment.h"
#include "kernel/run/run_state.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void add_default_env(SandboxConfig& c) {
  std::string value;
  std::vector<std::string> env;
  for (const char* name : {"PATH", "HOME", "TERM", "LANG", "USER", "LOGNAME", "TZ", "COLORTERM"}) {
    if (host::environment(name, value)) env.push_back(std::string(name) + "=" + value);
  }
  for (const std::string& name : host::environment_names()) {
    if (name.starts_with("LC_") && host::environment(name, value)) env.push_back(name + "=" + value);
  }
  for (std::string given : c.env) {
    if (given.find('=') == given.npos) {
      if (!host::environment(given, value)) continue;
      given += "=" + value;
    }
    const std::string key = given.substr(0, given.find('=') + 1);
    std::erase_if(env, [&](const std::string& e) { return e.starts_with(key); });
    env.push_back(given);
  }
  c.env = env;
}

int run(SandboxConfig c) {
  add_default_env(c);
  if (c.cwd.empty()) c.cwd = c.root.empty() ? host::current_directory() : "/";
  auto sandbox = Sandbox::make(c);
  if (!sandbox) {
    fprintf(stderr, "usk: %s\n", sandbox.error().message.c_str());
    return sandbox.error().exit_code;
  }
  const int status = (*sandbox)->run();
  if (c.report_unsupported) {
    for (auto [nr, n] : unsupported_calls()) {
      fprintf(stderr, "usk: unsupported: %s (%lu times)\n", kSyscalls[nr].name.data(), n);
    }
    for (auto& [what, n] : unsupported_features()) {
      fprintf(stderr, "usk: unsupported: %s (%lu times)\n", what.c_str(), n);
    }
  }
  fflush(nullptr);
  return exit_code(status);
}

void add_run(CLI::App& app, SandboxConfig& c, std::vector<std::string> (&mounts)[3]) {
  auto* cmd = app.add_subcommand("run", "Run a command in a new sandbox");
  cmd->add_option("--root", c.root, "Directory to use as root");
  cmd->add_option("--ro", mounts[0], "Show host DIR[:TARGET] read-only");
  cmd->add_option("--rw", mounts[1], "Share host DIR[:TARGET] read-write");
  cmd->add_option("--tmpfs", mounts[2], "Empty directory at TARGET");
  cmd->add_option("--cwd", c.cwd, "Working directory in the sandbox");
  cmd->add_option("--env,-e", c.env, "NAME[=VALUE]");
  cmd->add_option("--user,-u", c.user, "UID[:GID]");
  cmd->add_option("--hostname", c.hostname);
  cmd->add_option("--platform", c.platform, "auto or ptrace");
  cmd->add_option("--pids", c.pids, "Most processes and threads");
  cmd->add_flag("--report-unsupported", c.report_unsupported);
  cmd->add_flag("-v", c.verbose);
  cmd->add_option("command", c.command)->required();
  cmd->positionals_at_end();
  cmd->prefix_command();
}

MountSpec to_mount(MountSpec::Kind kind, const std::string& text) {
  const size_t colon = text.find(':');
  const std::string source = text.substr(0, colon);
  return {kind, source, colon == text.npos ? source : text.substr(colon + 1)};
}

int main_function(int argc, char** argv) {
  CLI::App app("usk: run untrusted programs in a user-space Linux kernel");
  SandboxConfig c;
  std::vector<std::string> mounts[3];
  add_run(app, c, mounts);
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code ? 125 : 0;
  }
  if (c.verbose) set_log_level(LogLevel::kInfo);
  for (auto& m : mounts[0]) c.mounts.push_back(to_mount(MountSpec::Kind::kReadOnly, m));
  for (auto& m : mounts[1]) c.mounts.push_back(to_mount(MountSpec::Kind::kReadWrite, m));
  for (auto& m : mounts[2]) c.mounts.push_back({MountSpec::Kind::kTmpfs, "", m});
  return run(std::move(c));
}

}  // namespace
}  // namespace usk

int main(int argc, char** argv) { return usk::main_function(argc, argv); }
