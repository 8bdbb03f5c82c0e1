// usk run
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string.h>
#include <sys/wait.h>

#include "base/log.h"
#include "boot/confinement.h"
#include "boot/sandbox.h"
#include "cli/autosave.h"
#include "cli/commands.h"
#include "cli/leave.h"
#include "cli/policy.h"
#include "cli/stats.h"
#include "enforce/denial.h"
#include "host/environment.h"
#include "host/file_io.h"
#include "kernel/kernel.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

// What a program needs to know of its surroundings and nothing secret.
std::vector<std::string> environment() {
  std::string value;
  std::vector<std::string> env;
  for (const char* name : {"PATH", "HOME", "TERM", "LANG", "USER", "LOGNAME", "TZ", "COLORTERM"}) {
    if (host::environment(name, value)) env.push_back(fmt::format("{}={}", name, value));
  }
  for (const std::string& name : host::environment_names()) {
    if (name.starts_with("LC_") && host::environment(name, value)) {
      env.push_back(name + "=" + value);
    }
  }
  return env;
}

void report_unsupported() {
  for (auto [nr, n] : unsupported_calls()) {
    LOG_ERROR("unsupported: {} ({} times)", kSyscalls[nr].name, n);
  }
  for (auto& [what, n] : unsupported_features()) {
    LOG_ERROR("unsupported: {} ({} times)", what, n);
  }
}

struct RunRequest {
  SandboxConfig config;
  std::string autosave;  // What is written behind --test-autosave.
  PolicyFlags policy;
  std::optional<std::string> stats;  // What is written behind --stats.
  bool learns = false;               // usk learn
  std::string profile;               // ... and where the profile goes.
};

// --run-state-edges
OrFailure<UniqueFd> create_edges(const std::string& file) {
  if (file.empty()) return UniqueFd();
  auto fd = host::create_file(file);
  if (!fd) return fail(fmt::format("--run-state-edges={}: {}", file, strerror(int(fd.error()))));
  return std::move(*fd);
}

OrFailure<void> write_edges(int fd, const EdgeLog& log) {
  const auto ok = write_text(fd, log.text());
  if (!ok) return fail(fmt::format("--run-state-edges: {}", strerror(int(ok.error()))));
  return {};
}

// The same without --test-autosave, for another process.
std::vector<std::string> other_arguments(const CLI::App& cmd, const Command& command) {
  std::vector<std::string> out = {"run"};
  for (const CLI::Option* o : cmd.parse_order()) {
    if (o->check_name("--test-autosave")) continue;
    const std::string name = o->get_name();
    if (o->get_items_expected_max() == 0) {
      out.push_back(name);
    } else {
      for (const std::string& value : o->results()) out.push_back(name + "=" + value);
    }
  }
  out.push_back("--");
  out.insert(out.end(), command.begin(), command.end());
  return out;
}

// What `usk learn` writes, and where: opened before the process gives its files up.
struct Lesson {
  UniqueFd file;
  policy::LearnedFrom from;

  static OrFailure<Lesson> make(const RunRequest& request, SandboxConfig& c) {
    Lesson lesson;
    if (!request.learns) return lesson;
    auto fd = host::create_file(request.profile);
    if (!fd) return fail(fmt::format("-o {}: {}", request.profile, strerror(int(fd.error()))));
    lesson.file = std::move(*fd);
    lesson.from.command = one_line(fmt::format("{}", fmt::join(c.command, " ")));
    lesson.from.directory = host::current_directory();
    if (!host::environment("HOME", lesson.from.home)) lesson.from.home = "/var/empty";
    c.policy.emplace();
    c.learn = std::make_shared<policy::Deeds>();
    return lesson;
  }
  OrFailure<void> write(const policy::Deeds& deeds) const {
    const auto ok = write_text(file.get(), policy::write_profile(deeds, from));
    if (!ok) return fail(fmt::format("the profile: {}", strerror(int(ok.error()))));
    return {};
  }
};

int run(const RunRequest& request) {
  SandboxConfig c = request.config;
  if (c.verbose) set_log_level(c.verbose > 1 ? LogLevel::kDebug : LogLevel::kInfo);
  c.confined = kConfines;
  c.env = environment();
  c.given_env = given_environment(c.given_env);
  if (c.cwd.empty() && c.root.empty()) c.cwd = host::current_directory();
  if (auto read = request.policy.read(c); !read) return report(read.error());
  const auto lesson = Lesson::make(request, c);
  if (!lesson) return report(lesson.error());
  std::optional<StatsRequest> stats;
  if (request.stats) {
    auto parsed = StatsRequest::parse(*request.stats);
    if (!parsed) return report(parsed.error());
    stats = std::move(*parsed);
  }
  auto edges = create_edges(c.edges_file);
  if (!edges) return report(edges.error());
  auto sandbox = Sandbox::make(c);
  if (!sandbox) return report(sandbox.error());
  const int status = (*sandbox)->run();
  if (c.report_unsupported) report_unsupported();
  if (const auto& log = (*sandbox)->kernel().edge_log) {
    if (auto written = write_edges(edges->get(), *log); !written) return report(written.error());
  }
  if (c.learn) {
    if (auto written = lesson->write(*c.learn); !written) return report(written.error());
  }
  if (stats) {
    if (auto written = stats->write(**sandbox); !written) return report(written.error());
  }
  return leave(std::move(*sandbox), exit_code(status));
}

// "64M", "1g", "4096": a number of bytes.
std::string parse_size(const std::string& text, uint64_t& out) {
  size_t used = 0;
  uint64_t n = 0;
  if (text.empty() || !isdigit(text[0])) return "give a size such as 64M";
  n = std::strtoull(text.c_str(), nullptr, 10);
  while (used < text.size() && isdigit(text[used])) used++;
  int shift = 0;
  if (used < text.size()) {
    const size_t at = std::string_view("kmgt").find(char(tolower(text[used])));
    if (at == std::string_view::npos || used + 1 != text.size()) return "give a size such as 64M";
    shift = 10 * (int(at) + 1);
  }
  if (n > (UINT64_MAX >> shift)) return "too large";
  out = n << shift;
  return {};
}

void add_mount_flag(CLI::App* cmd, SandboxConfig& c, const std::string& flag, MountSpec::Kind kind,
                    const std::string& help) {
  cmd->add_option_function<std::vector<std::string>>(
         flag,
         [&c, kind](const std::vector<std::string>& values) {
           for (const std::string& v : values) {
             const size_t colon = v.find(':');
             MountSpec m{kind, v.substr(0, colon), colon == v.npos ? v : v.substr(colon + 1)};
             if (kind == MountSpec::Kind::kTmpfs) m = {kind, "", v};
             c.mounts.push_back(m);
           }
         },
         help)
      ->take_all()
      ->trigger_on_parse()
      ->expected(1)
      ->allow_extra_args(false);
}

void add_limits(CLI::App* cmd, SandboxConfig& c) {
  cmd->add_option_function<std::string>(
      "--memory",
      [&c](const std::string& v) {
        if (v == "unlimited") {
          c.memory = 0;
        } else if (auto e = parse_size(v, c.memory); !e.empty()) {
          throw CLI::ValidationError("--memory", e);
        } else if (c.memory == 0) {
          throw CLI::ValidationError("--memory", "give a size such as 64M, or unlimited");
        }
      },
      "Memory of all processes, of files in memory and of the kernel's objects for them (beyond "
      "32M) together (64M), or unlimited; beyond it the largest process is killed. Three quarters "
      "of what the host or the cgroup has, unless given");
  cmd->add_option("--pids", c.pids, "Most processes and threads at once (32768)");
  cmd->add_option_function<std::string>(
      "--timeout",
      [&c](const std::string& v) {
        if (auto e = parse_duration(v, c.timeout_ns); !e.empty()) {
          throw CLI::ValidationError("--timeout", e);
        }
      },
      "Kill the sandbox after this time (10s)");
}

std::vector<std::string> layer_names() {
  std::vector<std::string> names;
  for (const Layer& l : layers()) names.push_back(l.name);
  return names;
}

// What becomes of the kernel process itself.
void add_supervision(CLI::App* cmd, SandboxConfig& c) {
  cmd->add_flag("--exit-wait-all", c.exit_wait_all,
                "End with the last process, not with the command");
  cmd->add_option("--watchdog", c.watchdog,
                  "When the kernel process computes for a task for too long: say so, or end")
      ->check(CLI::IsMember({"log", "kill"}));
  cmd->add_option("--unsafe-without", c.unsafe_without,
                  "Do without these layers of the kernel process's confinement (usk doctor)")
      ->delimiter(',')
      ->type_name("LAYER[,LAYER]")
      ->check(CLI::IsMember(layer_names()))
      ->expected(1)
      ->allow_extra_args(false)
      ->take_all();
  cmd->add_option("--record-host-calls", c.host_calls_file, "For tests")->group("");
}

}  // namespace

void add_autosave_flags(CLI::App* cmd, SandboxConfig& c) {
  cmd->add_option("--test-autosave-file", c.autosave_files, "For tests")->group("");
  cmd->add_option("--test-autosave-plan", c.autosave_plan, "For tests")->group("");
  cmd->add_flag("--test-autosave-trace", c.trace, "For tests")->group("");
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int report(const Failure& failure) {
  LOG_ERROR("{}", failure.message);
  return failure.exit_code;
}

std::vector<std::string> given_environment(const std::vector<std::string>& given) {
  std::vector<std::string> out;
  std::string value;
  for (const std::string& e : given) {
    if (e.find('=') != e.npos) {
      out.push_back(e);
    } else if (host::environment(e, value)) {
      out.push_back(e + "=" + value);
    }
  }
  return out;
}

namespace {

// What is said of a run, beside what the program says.
void add_reports(CLI::App* cmd, const std::shared_ptr<RunRequest>& request) {
  const std::shared_ptr<SandboxConfig> c(request, &request->config);
  cmd->add_option_function<std::string>(
         "--trace",
         [c](const std::string& file) {
           c->trace = true;
           c->trace_file = file;
         },
         "Print system calls (--trace=FILE)")
      ->expected(0, 1)
      ->type_name("[=FILE]");
  cmd->add_option_function<std::string>(
         "--stats", [request](const std::string& where) { request->stats = where; },
         "At the end, print what the sandbox used (--stats=json:FILE)")
      ->expected(0, 1)
      ->type_name("[=json:FILE]");
  cmd->add_flag("--report-unsupported", c->report_unsupported,
                "At the end, list what was asked for in vain");
  cmd->add_flag("-v,--verbose", c->verbose, "Say what Usk does; twice for more");
}

// What run and learn have in common.
void add_run_flags(CLI::App* cmd, const std::shared_ptr<RunRequest>& request, Action& chosen,
                   const Command& command) {
  const std::shared_ptr<SandboxConfig> c(request, &request->config);
  cmd->add_option("--root", c->root,
                  "Directory, tar archive or OCI image to use as root (copy-on-write)");
  add_mount_flag(cmd, *c, "--ro", MountSpec::Kind::kReadOnly, "Show host DIR[:TARGET] read-only");
  add_mount_flag(cmd, *c, "--rw", MountSpec::Kind::kReadWrite, "Share host DIR[:TARGET]");
  add_mount_flag(cmd, *c, "--tmpfs", MountSpec::Kind::kTmpfs, "Fresh empty directory at TARGET");
  cmd->add_option("--cwd", c->cwd, "Working directory inside");
  cmd->add_option("--env,-e", c->given_env, "NAME=VALUE, or NAME to pass it on")
      ->take_all()
      ->expected(1)
      ->allow_extra_args(false);
  cmd->add_option("--user,-u", c->user, "NAME, UID or UID:GID");
  cmd->add_option("--hostname", c->hostname, "Host name inside");
  add_limits(cmd, *c);
  cmd->add_option("--platform", c->platform, "auto or ptrace");
  cmd->add_option_function<std::string>(
         "--seccomp-stop-order",
         [c](const std::string& release) { c->old_seccomp_order = release == "3.5"; },
         "Whether a tracer's seccomp event comes after the syscall-enter-stop (4.8), or before it")
      ->check(CLI::IsMember({"4.8", "3.5"}));
  cmd->add_option("--test-autosave", request->autosave, "For tests")->group("");
  add_autosave_flags(cmd, *c);
  cmd->add_option("--run-state-edges", c->edges_file, "For tests")->group("");
  add_image_flags(cmd, *c);
  add_supervision(cmd, *c);
  cmd->add_option("--name", c->name, "Name by which usk exec, ps, kill... find it");
  add_reports(cmd, request);
  cmd->final_callback([c, cmd, request, &command, &chosen] {
    if (command.empty() && c->root.empty()) throw CLI::RequiredError("a command");
    c->command = command;
    if (!request->autosave.empty()) {
      chosen = [arguments = other_arguments(*cmd, command), plan = request->autosave] {
        return run_with_autosave(arguments, plan);
      };
      return;
    }
    chosen = [request] { return run(*request); };
  });
}

}  // namespace

void add_run_command(CLI::App& app, Action& chosen, const Command& command) {
  auto request = std::make_shared<RunRequest>();
  auto* cmd = app.add_subcommand("run", "Run a command in a new sandbox");
  add_run_flags(cmd, request, chosen, command);
  request->policy.add_to(*cmd, request->config);
  cmd->footer("Usage: usk run [OPTIONS] [--] CMD [ARGS...]");
}

void add_learn_command(CLI::App& app, Action& chosen, const Command& command) {
  auto request = std::make_shared<RunRequest>();
  request->learns = true;
  auto* cmd =
      app.add_subcommand("learn", "Run a command, and write a policy that allows just that");
  cmd->add_option("-o,--output", request->profile, "Where the rules go")->required();
  add_run_flags(cmd, request, chosen, command);
  cmd->footer("Usage: usk learn -o PROFILE [OPTIONS] [--] CMD [ARGS...]");
}

}  // namespace usk
