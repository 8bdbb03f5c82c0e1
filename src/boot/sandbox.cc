#include "boot/sandbox.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "boot/root.h"
#include "boot/stdio.h"
#include "boot/user.h"
#include "fs/dev/memory_devices.h"
#include "fs/hostio/epoll_poller.h"
#include "fs/pipe/pipe_file.h"
#include "fs/tty/tty_devices.h"
#include "fs/vfs/special_open.h"
#include "fs/vfs/vfs_ops.h"
#include "host/file_io.h"
#include "kernel/task/caller.h"
#include "kernel/task/clone.h"
#include "kernel/task/pid_file.h"
#include "loader/loader.h"
#include "platform/ptrace/ptrace_platform.h"
#include "syscalls/syscalls.h"
#include "syscalls/trace.h"

namespace usk {
namespace {

const Dev kConsoleDev = makedev(5, 1);

OrFailure<std::unique_ptr<platform::Platform>> choose_platform(const std::string& name) {
  if (name != "auto" && name != "ptrace") {
    return fail(fmt::format("--platform={}: there are auto and ptrace", name));
  }
  auto p = platform::PtracePlatform::make();
  if (p) LOG_INFO("platform: {}", (*p)->name());
  return p;
}

Ref<File> new_pid_file(Ref<Pid> pid, bool nonblocking, Ref<const Creds> creds) {
  return make_ref<PidFile>(std::move(pid), nonblocking, std::move(creds));
}

std::array<rlimit64, RLIM_NLIMITS> default_limits(const SandboxConfig& config) {
  std::array<rlimit64, RLIM_NLIMITS> l;
  l.fill({RLIM64_INFINITY, RLIM64_INFINITY});
  l[RLIMIT_STACK] = {8 << 20, RLIM64_INFINITY};
  l[RLIMIT_CORE] = {0, RLIM64_INFINITY};
  l[RLIMIT_NOFILE] = {1024, 1048576};
  l[RLIMIT_MEMLOCK] = {8 << 20, 8 << 20};
  l[RLIMIT_SIGPENDING] = {65536, 65536};
  l[RLIMIT_MSGQUEUE] = {819200, 819200};
  l[RLIMIT_NICE] = l[RLIMIT_RTPRIO] = {0, 0};
  const uint64_t tasks = config.pids ? config.pids : 65536;
  l[RLIMIT_NPROC] = {tasks, tasks};
  return l;
}

Namespaces initial_namespaces(Kernel& k, const WalkContext& root, const std::string& hostname) {
  Namespaces ns;
  ns.mounts = root.mounts;
  ns.uts = make_ref<UtsNamespace>(hostname, "(none)", k.root_user_ns);
  ns.net = make_ref<PlainNamespace>(k.root_user_ns);
  ns.ipc = make_ref<PlainNamespace>(k.root_user_ns);
  ns.cgroup = make_ref<PlainNamespace>(k.root_user_ns);
  ns.time = make_ref<PlainNamespace>(k.root_user_ns);
  ns.pid_for_children = k.root_pid_ns;
  return ns;
}

// The command as the shell would find it: a path with a slash, or along PATH.
OrFailure<std::string> find_command(const WalkContext& ctx, const std::string& name,
                                    const std::vector<std::string>& env) {
  auto check = [&](const std::string& path) -> Result<void> {
    const Path p = TRY(walk(ctx, ctx.cwd, path, kFollow));
    return vfs::may_execute(ctx, p);
  };
  if (name.find('/') != name.npos) {
    auto r = check(name);
    if (r) return name;
    const bool missing = failed_with(r, ENOENT) || failed_with(r, ENOTDIR);
    return fail(fmt::format("{}: {} (in the sandbox)", name, strerror(int(r.error()))),
                missing ? 127 : 126);
  }
  std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (const std::string& e : env) {
    if (e.starts_with("PATH=")) path = std::string_view(e).substr(5);
  }
  bool denied = false;
  while (!path.empty()) {
    const size_t colon = path.find(':');
    std::string candidate(path.substr(0, colon));
    path.remove_prefix(colon == path.npos ? path.size() : colon + 1);
    candidate += "/" + name;
    auto r = check(candidate);
    if (r) return candidate;
    denied |= failed_with(r, EACCES);
  }
  if (denied) return fail(fmt::format("{}: not executable", name), 126);
  return fail(fmt::format("{}: command not found in the sandbox's PATH", name), 127);
}

}  // namespace

OrFailure<std::unique_ptr<Sandbox>> Sandbox::make(const SandboxConfig& config) {
  std::unique_ptr<Sandbox> s(new Sandbox(config));
  TRY(s->assemble());
  return s;
}

Sandbox::~Sandbox() = default;

OrFailure<void> Sandbox::assemble() {
  KernelOptions options;
  options.memory_limit = config_.memory;
  if (config_.pids) options.max_tasks = config_.pids + 1;  // Init does not count.
  kernel_ = std::make_unique<Kernel>(TRY(choose_platform(config_.platform)), options);
  kernel_->hooks.invoke = invoke_syscall;
  TRY(make_host_side());
  make_pid_file = new_pid_file;
  install_job_control(*kernel_);
  register_memory_devices();
  register_tty_devices(terminal_ ? terminal_->tty() : Ref<Tty>());
  register_fifo_opener(fifo_open);
  TRY(start_trace());
  WalkContext root = TRY(build_root(*kernel_, config_));
  TRY(make_init(root));
  return start_command(root);
}

OrFailure<void> Sandbox::make_host_side() {
  auto poller = EpollPoller::make();
  if (!poller) return fail(fmt::format("epoll: {}", strerror(int(poller.error()))));
  poller_ = std::move(*poller);
  kernel_->poller = poller_.get();
  auto terminal = HostTerminal::find(poller_, kConsoleDev);
  if (!terminal) return fail(fmt::format("the terminal: {}", strerror(int(terminal.error()))));
  terminal_ = std::move(*terminal);
  return {};
}

OrFailure<void> Sandbox::start_trace() {
  if (!config_.trace) return {};
  int fd = 2;
  if (!config_.trace_file.empty()) {
    auto file = host::create_file(config_.trace_file);
    if (!file) {
      return fail(fmt::format("--trace={}: {}", config_.trace_file, strerror(int(file.error()))));
    }
    trace_file_ = std::move(*file);
    fd = trace_file_.get();
  }
  install_trace(*kernel_, [fd](const std::string& line) {
    (void)host::write(fd, std::as_bytes(std::span(line)));
  });
  return {};
}

OrFailure<void> Sandbox::make_init(const WalkContext& root) {
  ProcessSpec spec;
  spec.fds = make_ref<FdTable>();
  spec.fs = make_ref<FsState>(root.root, root.root, 022);
  spec.creds = root.creds;
  spec.ns = initial_namespaces(*kernel_, root, config_.hostname);
  spec.limits = default_limits(config_);
  auto init = make_process(*kernel_, spec);
  if (!init) return fail("cannot make the first process");
  (*init)->set_name("init");
  (*init)->where = Task::Where::kGone;  // It has no code to run.
  kernel_->init = (*init)->group;
  return {};
}

OrFailure<void> Sandbox::start_command(const WalkContext& root) {
  WalkContext ctx = root;
  ctx.creds = TRY(user_creds(root, config_.user));
  if (!config_.cwd.empty()) {
    auto cwd = walk(ctx, ctx.root, config_.cwd, kFollow | kWantDirectory);
    if (!cwd) return fail(fmt::format("--cwd {}: {}", config_.cwd, strerror(int(cwd.error()))));
    ctx.cwd = *cwd;
  }
  const std::string path = TRY(find_command(ctx, config_.command[0], config_.env));
  LoadRequest q;
  q.argv = config_.command;
  q.envp = config_.env;
  auto file = walk(ctx, ctx.cwd, path, kFollow);
  if (!file) return fail(fmt::format("{}: {}", path, strerror(int(file.error()))), 127);
  q.file = *file;
  q.name = path;
  q.walk = ctx;
  q.creds = ctx.creds;
  auto image = load_program(*kernel_, std::move(q));
  if (!image) {
    return fail(fmt::format("{}: {}", path, strerror(int(image.error()))), 126);
  }
  ProcessSpec spec;
  spec.fds = make_ref<FdTable>();
  TRY(install_stdio(poller_, terminal_.get(), *spec.fds, ctx));
  spec.fs = make_ref<FsState>(ctx.root, ctx.cwd, 022);
  spec.creds = (*image)->creds;
  {
    Lock lock(task_mutex);
    spec.ns = kernel_->init->leader->ns;
  }
  spec.limits = default_limits(config_);
  auto task = make_process(*kernel_, spec);
  if (!task) return fail("cannot make the command's process");
  (*task)->mm = (*image)->mm;
  (*task)->cpu = std::move((*image)->cpu);
  (*task)->cpu->owner = task->get();
  (*task)->set_name((*image)->comm);
  main_ = (*task)->group;
  if (terminal_) {
    TaskCaller caller(**task);
    terminal_->tty()->adopt_leader(caller);
  }
  kernel_->scheduler.add(**task);
  return {};
}

int Sandbox::run() {
  auto ended = [this] {
    Lock lock(task_mutex);
    return main_->zombie || main_->reaped;
  };
  class Timeout final : public TimerClient {
   public:
    explicit Timeout(Kernel& k) : kernel_(k) {}
    void expired() override {
      LOG_ERROR("the time given by --timeout is over; the sandbox is killed");
      kernel_.kill_all();
    }

   private:
    Kernel& kernel_;
  };
  if (config_.timeout_ns) {
    timeout_ = make_ref<Timeout>(*kernel_);
    kernel_->time.arm(timeout_, CLOCK_MONOTONIC, kernel_->time.monotonic() + config_.timeout_ns);
  }
  if (terminal_) {
    if (auto started = terminal_->start(); !started) {
      LOG_ERROR("the terminal stays as it is: {}", strerror(int(started.error())));
    }
  }
  kernel_->run(ended);
  if (timeout_) kernel_->time.disarm(*timeout_);
  const int status = main_->exit_status;
  end_all();
  if (terminal_) terminal_->stop();
  return status;
}

void Sandbox::end_all() {
  kernel_->kill_all();
  const int64_t give_up = kernel_->time.monotonic() + 2 * kNsPerSecond;
  kernel_->run([&] {
    Lock lock(task_mutex);
    return kernel_->task_count() <= 1 || kernel_->time.monotonic() > give_up;
  });
}

}  // namespace usk
