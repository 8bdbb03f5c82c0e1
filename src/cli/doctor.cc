// usk doctor: which of its promises Usk can keep on this host, and how to get the others.
#include <fmt/format.h>
#include <string.h>
#include <sys/wait.h>

#include "boot/choose_platform.h"
#include "boot/confinement.h"
#include "cli/commands.h"
#include "control/client.h"
#include "control/message.h"
#include "control/registry.h"
#include "host/call.h"
#include "host/confinement.h"
#include "host/empty_root.h"
#include "host/file.h"
#include "host/landlock.h"
#include "host/namespaces.h"
#include "host/process.h"
#include "host/trial.h"

namespace usk {
namespace {

enum class Kind { kPromise, kBetter };  // What a sandbox needs, and what makes one better.

struct Finding {
  std::string name;
  Kind kind;
  bool holds;
  std::string what;    // What it is for, or what was found.
  std::string remedy;  // How to get it; empty if it holds.
};

Finding kernel_release() {
  constexpr int kOldest = 5013;
  const int release = host::kernel_release();
  const bool good = release >= kOldest;
  return {"linux", Kind::kPromise, good,
          fmt::format("the host has Linux {}.{}", release / 1000, release % 1000),
          good ? "" : "Linux 5.13 or newer; --platform=ptrace may work before"};
}

Finding platform(const std::string& name, Kind kind, const char* needs) {
  // In a child: a platform starts processes, and waits for all of this one's.
  const auto tried = host::try_in_child([&name]() -> std::string {
    auto made = choose_platform(name);
    return made ? "" : made.error().message;
  });
  return {name, kind, tried.empty(), fmt::format("runs guest code (--platform={})", name),
          tried.empty() ? "" : fmt::format("{}; it takes {}", tried, needs)};
}

Finding seccomp() {
  const auto tried = host::try_in_child([]() -> std::string {
    host::choose_cookies();
    host::set_confinement(host::Confinement::kOn);
    auto done = host::confine(host::kKernel);
    return done ? "" : done.error().message;
  });
  return {"seccomp", Kind::kPromise, tried.empty(), layers()[0].keeps,
          tried.empty() ? ""
                        : tried +
                              "; it takes CONFIG_SECCOMP_FILTER, and in a container a profile "
                              "that allows seccomp, or --unsafe-without=seccomp"};
}

Finding landlock() {
  const bool has = host::landlock_version() > 0;
  return {"landlock", Kind::kPromise, has, layers()[1].keeps,
          has ? ""
              : "Linux 5.13 with landlock in the list lsm= of its command line, or "
                "--unsafe-without=landlock"};
}

Finding landlock_version(const char* name, int version, const char* release, const char* what) {
  const bool has = host::landlock_version() >= version;
  return {name, Kind::kBetter, has, what, has ? "" : fmt::format("Linux {} or newer", release)};
}

std::string how_to_get(const std::string& tried, size_t layer) {
  if (tried.empty()) return "";
  return fmt::format("{}; it takes {}, or --unsafe-without={}", tried,
                     host::how_to_get_namespaces(), layers()[layer].name);
}

// As what runs a sandbox does it (boot/confinement.cc).
std::string try_namespaces(host::Separate what) {
  return host::try_in_child([what]() -> std::string {
    auto made = host::NewNamespaces::begin(what);
    auto done = made ? (*made)->enter() : Result<void>(Err(made.error()));
    if (what == host::Separate::kAll) {
      if (!done) done = host::enter_namespaces();
      if (done) done = host::empty_root();
    }
    return done ? "" : strerror(int(done.error()));
  });
}

Finding namespaces() {
  const auto tried = try_namespaces(host::Separate::kAll);
  return {"namespaces", Kind::kPromise, tried.empty(), layers()[2].keeps, how_to_get(tried, 2)};
}

Finding user_namespace() {
  const bool root = host::effective_uid() == 0;
  const auto tried = root ? try_namespaces(host::Separate::kUser) : "";
  return {"user-namespace", Kind::kPromise, tried.empty(), layers()[3].keeps, how_to_get(tried, 3)};
}

Finding sealing() {
  const auto tried = host::try_in_child(
      []() -> std::string { return host::choose_cookies() ? "" : "Linux 6.10 or newer"; });
  return {"mseal", Kind::kBetter, tried.empty(), "the filter's secrets cannot be made writable",
          tried};
}

Finding registry() {
  auto all = list_sandboxes();
  return {"registry", Kind::kBetter, all.has_value(),
          "usk list, exec, kill reach running sandboxes", all ? "" : all.error().message};
}

std::vector<Finding> examine() {
  return {kernel_release(),
          platform("trap", Kind::kBetter,
                   "Linux 5.13 with CONFIG_SECCOMP_FILTER, and in a container a profile that "
                   "allows seccomp and process_vm_readv"),
          platform("ptrace", Kind::kPromise,
                   "CONFIG_SECCOMP_FILTER, and in a container a profile that allows ptrace"),
          seccomp(),
          landlock(),
          landlock_version("landlock-tcp", 4, "6.7", "no TCP, whatever else fails"),
          landlock_version("landlock-devices", 5, "6.10", "no requests to other devices"),
          landlock_version("landlock-signals", 6, "6.12", "no signals to other processes"),
          namespaces(),
          user_namespace(),
          sealing(),
          registry()};
}

void print_json(const std::vector<Finding>& all) {
  Json out = Json::array();
  for (const Finding& f : all) {
    out.push_back({{"name", f.name},
                   {"promised", f.kind == Kind::kPromise},
                   {"holds", f.holds},
                   {"what", f.what},
                   {"remedy", f.remedy}});
  }
  fmt::print("{}\n", to_text(out, 2));
}

int doctor(bool json) {
  const std::vector<Finding> all = examine();
  bool healthy = true;
  for (const Finding& f : all) healthy &= f.holds || f.kind == Kind::kBetter;
  if (json) {
    print_json(all);
    return healthy ? 0 : 1;
  }
  for (const Finding& f : all) {
    const char* state = f.holds ? "yes" : f.kind == Kind::kPromise ? "NO" : "no";
    fmt::print("{:3}  {:17} {}\n", state, f.name, f.what);
    if (!f.holds) fmt::print("     {:17} to get it: {}\n", "", printable(f.remedy));
  }
  fmt::print("{}\n", healthy ? "Usk keeps its promises here."
                             : "usk run refuses to start here without --unsafe-without.");
  return healthy ? 0 : 1;
}

}  // namespace

void add_doctor_command(CLI::App& app, Action& chosen) {
  auto json = std::make_shared<bool>(false);
  auto* cmd = app.add_subcommand("doctor", "What this host allows Usk to promise");
  cmd->add_flag("--json", *json, "As a JSON list");
  cmd->final_callback([json, &chosen] { chosen = [json] { return doctor(*json); }; });
}

}  // namespace usk
