#include "boot/confinement.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <string.h>

#include <algorithm>

#include "base/log.h"
#include "boot/root.h"
#include "host/call.h"
#include "host/confinement.h"
#include "host/crash.h"
#include "host/empty_root.h"
#include "host/environment.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/inheritance.h"
#include "host/landlock.h"
#include "host/open.h"
#include "host/privileges.h"
#include "host/stream.h"
#include "image/root_image.h"

namespace usk {
namespace {

constexpr Layer kLayers[] = {
    {"seccomp", "calls of the host that a running sandbox does not need"},
    {"landlock", "files that are none of the sandbox's, and other processes"},
    {"namespaces", "the host's network, mounts, absolute paths, names and IPC objects"},
    {"user-namespace", "what root's privileges allow with the system, not with files"},
};

bool is_on(const SandboxConfig& c, const char* layer) {
  return c.confined && std::ranges::find(c.unsafe_without, layer) == c.unsafe_without.end();
}

std::unexpected<Failure> cannot(const char* what, Errno error) {
  return fail(fmt::format("{}: {}", what, strerror(int(error))));
}

// kernel.yama.ptrace_scope=2 lets only those trace who have the capability.
bool tracing_takes_privilege() {
  const std::string scope = host::read_proc("sys/kernel/yama/ptrace_scope", 16);
  return scope.starts_with('2');
}

// Root may read what others of the host own, and where it shares directories, act as their owners.
OrFailure<void> drop_privileges(const SandboxConfig& config) {
  const auto writable = [](const MountSpec& m) { return m.kind == MountSpec::Kind::kReadWrite; };
  const bool root = host::effective_uid() == 0;
  Result<void> done;
  if (root && std::ranges::any_of(config.mounts, writable)) {
    done = host::keep_capabilities(
        {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP},
        tracing_takes_privilege());
  } else if (root) {
    done = host::keep_capabilities({CAP_DAC_READ_SEARCH}, tracing_takes_privilege());
  } else {
    done = host::keep_capabilities({}, false);
  }
  if (!done) return cannot("the privileges cannot be dropped", done.error());
  return {};
}

// Root's is a layer of its own; without privileges it is only the way to the other namespaces.
bool wants_user_namespace(const SandboxConfig& config) {
  const bool root = host::effective_uid() == 0;
  return is_on(config, "user-namespace") && (root || is_on(config, "namespaces"));
}

std::unexpected<Failure> lacks(const std::string& layers, Errno error) {
  return fail(
      fmt::format("this host does not give the kernel process {0} ({1}): that takes {2}; "
                  "--unsafe-without={0} runs without",
                  layers, strerror(int(error)), host::how_to_get_namespaces()));
}

// What cannot be had is named all at once.
OrFailure<void> leave_namespaces(const SandboxConfig& config,
                                 std::unique_ptr<host::NewNamespaces> made) {
  Result<void> entered = Err(EPERM), user;
  if (made) entered = made->enter();
  made.reset();
  if (is_on(config, "user-namespace") && host::effective_uid() == 0) user = entered;
  if (is_on(config, "namespaces")) {
    if (!entered) entered = host::enter_namespaces();
    if (entered) entered = host::empty_root();
    if (!entered) return lacks(user ? "namespaces" : "namespaces,user-namespace", entered.error());
  }
  if (!user) return lacks("user-namespace", user.error());
  return {};
}

Result<void> allow_path(host::FileRules& rules, const std::string& path,
                        host::FileRules::Access access) {
  auto fd = host::open_place(path);
  if (!fd) return {};  // Who needs it will say so.
  return rules.allow((*fd)->get(), access);
}

Result<void> restrict_files(const SandboxConfig& config, const Registration* entry,
                            const SelfImages* images) {
  using host::FileRules;
  FileRules rules = TRY(FileRules::make());
  for (const HostPlace& p : host_places(config)) {
    TRY(allow_path(rules, p.path, p.writable ? FileRules::kChange : FileRules::kRead));
  }
  // Stubs' memory is written through /proc, too.
  TRY(rules.allow(host::proc_dir(), FileRules::kUse));
  // A guest may open its standard streams anew.
  for (int fd = 0; fd < 3; fd++) {
    if (auto r = rules.allow(fd, FileRules::kUse); !r && !failed_with(r, EBADF)) return r;
  }
  if (entry) {
    TRY(rules.allow(entry->directory()->get(), FileRules::kKeep));
    TRY(rules.allow(entry->runtime().get(), FileRules::kRemoveDirectories));
  }
  for (const int fd : images ? images->directories() : std::vector<int>()) {
    TRY(rules.allow(fd, FileRules::kChange));
  }
  return rules.enforce();
}

}  // namespace

std::span<const Layer> layers() { return kLayers; }

OrFailure<std::unique_ptr<host::NewNamespaces>> prepare_confinement(const SandboxConfig& config) {
  if (!config.confined) return nullptr;
  if (!config.host_calls_file.empty()) {
    auto fd = host::open_log(config.host_calls_file);
    if (!fd) return cannot(config.host_calls_file.c_str(), fd.error());
    host::set_confinement(host::Confinement::kRecord, fd->release());
  } else if (is_on(config, "seccomp")) {
    host::set_confinement(host::Confinement::kOn);
  }
  (void)host::choose_cookies();  // Without mseal they are still read-only.
  // Each is held or known from its first use on.
  if (host::proc_dir() < 0) return fail("cannot open /proc; mount it");
  host::close_inherited(config.autosave_files);
  (void)host::null_device();
  (void)host::effective_uid();
  (void)host::current_directory();
  std::unique_ptr<host::NewNamespaces> namespaces;
  if (wants_user_namespace(config)) {
    const bool all = is_on(config, "namespaces");
    auto begun = host::NewNamespaces::begin(all ? host::Separate::kAll : host::Separate::kUser);
    if (begun) namespaces = std::move(*begun);  // What is missing is said later.
  }
  if (!config.root.empty()) load_image_libraries(config.root);
  return namespaces;
}

OrFailure<void> isolate_kernel_process(const SandboxConfig& config,
                                       std::unique_ptr<host::NewNamespaces> namespaces,
                                       const Registration* entry, const SelfImages* images) {
  if (!config.confined) return {};
  host::forget_environment();
  // Root could change the whole system through the host's.
  if (host::effective_uid() == 0 && !host::use_private_proc()) {
    LOG_INFO("/proc is the host's: a private one takes CAP_SYS_ADMIN");
  }
  TRY(leave_namespaces(config, std::move(namespaces)));
  if (is_on(config, "landlock")) {
    if (host::landlock_version() == 0) {
      return fail(
          "this host has no Landlock (Linux 5.13, and landlock in its lsm= list), which keeps the "
          "kernel process from files that are none of the sandbox's; --unsafe-without=landlock "
          "runs without");
    }
    if (auto r = restrict_files(config, entry, images); !r) return cannot("Landlock", r.error());
  }
  return drop_privileges(config);
}

OrFailure<void> watch_kernel_process(const SandboxConfig& config, const Registration* entry) {
  if (!config.confined) return {};
  auto done = host::report_crashes(entry ? entry->directory() : Ref<HostFd>(),
                                   entry ? entry->path() : std::string());
  if (!done) return cannot("cannot handle signals", done.error());
  if (config.watchdog.empty()) return {};
  constexpr int64_t kPeriodNs = 1'000'000'000;
  done = host::start_watchdog(
      config.watchdog == "kill" ? host::Watchdog::kKill : host::Watchdog::kLog, kPeriodNs);
  if (!done) return cannot("--watchdog", done.error());
  return {};
}

OrFailure<void> confine_kernel_process(const SandboxConfig& config) {
  if (!config.confined) return {};
  // Not before: the first stub is traced while it still has the memory of this process.
  if (auto r = host::hide_from_others(); !r) return cannot("PR_SET_DUMPABLE", r.error());
  if (!is_on(config, "seccomp") && config.host_calls_file.empty()) return {};
  auto done = host::confine(host::kKernel);
  if (done) return {};
  return fail(done.error().message + "; --unsafe-without=seccomp runs without");
}

}  // namespace usk
