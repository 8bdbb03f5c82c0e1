#include "boot/sandbox.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "base/log.h"
#include "boot/choose_platform.h"
#include "boot/confinement.h"
#include "boot/root.h"
#include "boot/saved_policy.h"
#include "boot/start.h"
#include "boot/user.h"
#include "fs/dev/memory_devices.h"
#include "fs/hostio/epoll_poller.h"
#include "fs/pipe/pipe_file.h"
#include "fs/tty/tty_devices.h"
#include "fs/vfs/special_open.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/memory_size.h"
#include "host/open.h"
#include "host/process.h"
#include "host/stream.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/task/caller.h"
#include "kernel/task/clone.h"
#include "kernel/task/network_namespace.h"
#include "kernel/task/pid_file.h"
#include "syscalls/syscalls.h"
#include "syscalls/trace.h"

namespace usk {
namespace {

Ref<File> new_pid_file(Ref<Pid> pid, bool nonblocking, Ref<const Creds> creds) {
  return make_ref<PidFile>(std::move(pid), nonblocking, std::move(creds));
}

Namespaces initial_namespaces(Kernel& k, const WalkContext& root, const std::string& hostname) {
  Namespaces ns;
  ns.mounts = root.mounts;
  ns.uts = make_ref<UtsNamespace>(hostname, "(none)", k.root_user_ns);
  ns.net = make_ref<NetworkNamespace>(k.root_user_ns, true);
  ns.ipc = make_ipc_namespace(k.root_user_ns, k.options().memory_limit);
  ns.cgroup = make_ref<PlainNamespace>(k.root_user_ns);
  ns.time = make_ref<PlainNamespace>(k.root_user_ns);
  ns.pid_for_children = k.root_pid_ns;
  return ns;
}

// openat2(2), close_range(2), MADV_POPULATE_WRITE and more are taken for granted. Who asks for the
// ptrace platform by name may try an older host: it works with what tracing had there.
OrFailure<void> check_host(const std::string& platform) {
  if (platform == "ptrace") return {};
  constexpr int kOldest = 5013;
  const int release = host::kernel_release();
  if (release >= kOldest) return {};
  return fail(
      fmt::format("this host has Linux {}.{}; Usk needs 5.13 or newer (or try --platform=ptrace)",
                  release / 1000, release % 1000));
}

// Unless somebody said how much: the host, and what else it runs, keeps a quarter.
uint64_t memory_limit(const SandboxConfig& config) {
  if (config.memory == 0) return UINT64_MAX;
  return config.memory == UINT64_MAX ? host::memory_to_be_had() / 4 * 3 : config.memory;
}

}  // namespace

OrFailure<std::unique_ptr<Sandbox>> Sandbox::make(const SandboxConfig& config) {
  std::unique_ptr<Sandbox> s(new Sandbox(config));
  TRY(s->assemble());
  return s;
}

void Sandbox::close() {
  images_.reset();
  control_.reset();
  if (enforcer_) enforcer_->end_log();
}

Sandbox::~Sandbox() {
  close();
  if (!kernel_) return;
  kernel_->poller = nullptr;
  // Tasks may only go while the kernel that they belong to is whole.
  if (main_) end_all();
}

OrFailure<std::unique_ptr<Sandbox>> Sandbox::restore(const SandboxConfig& config,
                                                     const RestoreRequest& request) {
  std::optional<ReadyImage> opened = request.memory;
  if (!opened && !request.wait) opened = ReadyImage{TRY(state::Image::open(request.dir))};
  SandboxConfig c = request.config ? *request.config : TRY(read_config(opened->image));
  c.name = config.name;
  c.platform = config.platform;
  c.trace = config.trace;
  c.trace_file = config.trace_file;
  c.audit_file = config.audit_file;
  c.verbose = config.verbose;
  c.confined = config.confined;
  c.unsafe_without = config.unsafe_without;
  c.autosave_files = config.autosave_files;
  c.autosave_plan = config.autosave_plan;
  c.autosave = config.autosave;
  c.autosave_ns = config.autosave_ns;
  c.asked = config.asked;
  std::unique_ptr<Sandbox> s(new Sandbox(c));
  TRY(s->assemble_from(std::move(opened), request));
  return s;
}

OrFailure<void> Sandbox::make_kernel() {
  TRY(check_host(config_.platform));
  TRY(make_policy());
  TRY(name_host_places(config_));
  const uint64_t memory = memory_limit(config_);
  auto namespaces = TRY(prepare_confinement(config_));
  TRY(register_self());
  TRY(watch_kernel_process(config_, entry_.get()));
  host::raise_max_open_files();
  images_ = TRY(SelfImages::make(config_));
  TRY(open_trace());
  TRY(isolate_kernel_process(config_, std::move(namespaces), entry_.get(), images_.get()));
  KernelOptions options;
  options.memory_limit = memory;
  if (config_.old_seccomp_order) options.stop_order = StopOrder::k35;
  constexpr uint64_t kMostPids = 32768;
  options.max_tasks = (config_.pids ? config_.pids : kMostPids) + 1;  // Init does not count.
  kernel_ = std::make_unique<Kernel>(TRY(choose_platform(config_.platform)), options);
  kernel_->hooks.invoke = invoke_syscall;
  if (!config_.edges_file.empty()) kernel_->edge_log = std::make_unique<EdgeLog>();
  kernel_->hooks.start_helper = start_helper;
  TRY(make_host_side());
  if (images_) TRY(images_->make_helper(poller_));
  make_pid_file = new_pid_file;
  install_job_control(*kernel_);
  register_memory_devices();
  register_tty_devices(terminal_ ? terminal_->tty() : Ref<Tty>());
  register_fifo_opener(fifo_open);
  TRY(plan_autosave());
  return start_trace();
}

OrFailure<void> Sandbox::plan_autosave() {
  if (config_.autosave_plan.empty()) return {};
  autosave_ = TRY(AutosavePlan::parse(config_.autosave_plan));
  kernel_->hooks.on_call = [this] { autosave_->call_begins(); };
  kernel_->hooks.on_block = [this] { autosave_->call_blocks(); };
  return {};
}

OrFailure<void> Sandbox::assemble_from(std::optional<ReadyImage> opened,
                                       const RestoreRequest& request) {
  if (opened && !request.memory) TRY(begin_check(opened->image, request));
  TRY(make_kernel());
  TRY(confine_kernel_process(config_));
  if (!opened) opened = TRY(request.wait());
  SandboxState state = TRY(load_state(*opened, request));
  take_console(std::move(state.console));
  for (int fd : {0, 1}) host::replace_with_null(fd);
  root_.root = root_.cwd = state.root;
  root_.creds = state.creds;
  root_.mounts = state.mounts;
  main_ = state.main;
  kernel_->time.stand_at_realtime(opened->image.manifest().realtime_ns);
  start_policy();
  read_image_behind();
  TRY(start_images());
  host::forget_start();
  if (request.paused && entry_) TRY(entry_->set_status("paused"));
  return start_control();
}

OrFailure<SandboxState> Sandbox::load_state(const ReadyImage& opened,
                                            const RestoreRequest& request) {
  const state::Manifest& m = opened.image.manifest();
  const auto role = request.forked ? Origin::Role::kForked : Origin::Role::kRestored;
  kernel_->origin = {role, m.generation + 1};
  const auto begins = [this, m, frozen = request.frozen_clock] {
    has_begun_ = true;
    set_clocks(m, frozen);
  };
  has_begun_ = false;
  if (request.paused) {
    kernel_->begin_paused(begins);
  } else {  // What a restore takes is none of the guest's time.
    kernel_->time.stand_still();
    begins_ = [this, begins] {
      kernel_->time.go_on();
      begins();
    };
  }
  RestoreServices services{poller_, request.allow_changed, opened.arriving};
  const bool tests_arrival = !config_.autosave_plan.empty() && kernel_->origin.generation % 2;
  if (tests_arrival) services.arriving = make_ref<PagesOnDemand>();
  unpacking_ = TRY(UnpackedPages::make(opened.image, kMemoryPart));
  if (unpacking_) {
    services.arriving = unpacking_;
    services.memory = unpacking_->file();
  }
  return read_image(*kernel_, opened.image, services);
}

// CLOCK_MONOTONIC goes on from where it was already.
void Sandbox::set_clocks(const state::Manifest& image, bool frozen) {
  constexpr int64_t kLongest = INT64_MAX / 4;  // More can only be made up.
  const int64_t at = image.realtime_ns, monotonic = image.monotonic_ns;
  if (std::max(at, monotonic) > kLongest || std::min(at, monotonic) < -kLongest) return;
  if (frozen) {
    constexpr int64_t kToSaySo = 1000;  // Else it would go back by as much as that takes.
    const int64_t since = kernel_->time.monotonic() - monotonic;
    return kernel_->time.continue_realtime_at(at + since + kToSaySo);
  }
  // As after a host's suspension: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
  if (kernel_->origin.role == Origin::Role::kRestored) kernel_->time.realtime_was_set();
}

OrFailure<void> Sandbox::start_images() {
  if (!images_) return {};
  return images_->start(*kernel_, [this](state::ImageWriter image) {
    return begin_image(std::move(image), ImageJob::Then::kRunsOn);
  });
}

// What takes a moment is compared before anything runs.
OrFailure<void> Sandbox::begin_check(const state::Image& image, const RestoreRequest& request) {
  constexpr uint64_t kSmall = 8 << 20;
  checking_.emplace();
  for (const char* part : {kMemoryPart, state::kContentsPart}) image.check(part, *checking_);
  if (!request.verify && checking_->left() > kSmall) return {};
  if (request.verify) TRY(image.verify());
  TRY(checking_->step(UINT64_MAX));
  checking_.reset();
  return {};
}

OrFailure<bool> Sandbox::read_more() {
  constexpr uint64_t kAtOnce = 256 << 10;
  if (checking_) {
    if (!TRY(checking_->step(kAtOnce))) checking_.reset();
  } else if (!TRY(unpacking_->step())) {
    unpacking_ = nullptr;
  }
  return checking_ || unpacking_;
}

void Sandbox::read_image_behind() {
  if (!checking_ && !unpacking_) return;
  kernel_->background = [this] {
    const auto more = read_more();
    if (more) return *more;
    LOG_ERROR("{}; the sandbox is killed", more.error().message);
    kernel_->kill_all();
    checking_.reset();
    unpacking_ = nullptr;
    damaged_ = true;
    return false;
  };
}

void Sandbox::finish_image() {
  if (checking_ || unpacking_) kernel_->finish_background();
}

// The guest's console goes on at the terminal that this command was started at, or is hung up.
void Sandbox::take_console(Ref<Tty> console) {
  if (!console) return;
  register_tty_devices(console);
  terminal_ ? terminal_->serve(std::move(console)) : console->hang_up(true);
}

OrFailure<void> Sandbox::assemble() {
  TRY(make_kernel());
  TRY(confine_kernel_process(config_));
  TRY(load_root());
  root_ = TRY(build_root(*kernel_, config_, image_));
  find_home();
  TRY(make_init(root_));
  start_policy();  // Before anything of the guest's is looked at.
  main_ = TRY(start_command(*kernel_, root_, command_spec(), {poller_, terminal_.get()}));
  TRY(start_images());
  host::forget_start();
  return start_control();
}

// What was asked for goes before what the image says, and that before what the caller has.
OrFailure<void> Sandbox::load_root() {
  if (!config_.root.empty()) image_ = TRY(load_root_image(config_.root));
  if (image_ && image_->config) {
    const ImageConfig& image = *image_->config;
    if (config_.command.empty()) {
      config_.command = image.entrypoint;
      config_.command.insert(config_.command.end(), image.command.begin(), image.command.end());
    }
    if (config_.cwd.empty()) config_.cwd = image.cwd;
    if (config_.user.empty()) config_.user = image.user;
    // The caller's home and search path mean nothing in an image.
    std::erase_if(config_.env, [](const std::string& e) {
      return e.starts_with("PATH=") || e.starts_with("HOME=") || e.starts_with("USER=") ||
             e.starts_with("LOGNAME=");
    });
    merge_environment(config_.env,
                      {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"});
    merge_environment(config_.env, image.env);
  }
  merge_environment(config_.env, config_.given_env);
  if (config_.cwd.empty()) config_.cwd = "/";
  if (!config_.command.empty()) return {};
  return fail(image_ && image_->config ? "the image names no command; give one behind --"
                                       : "give a command, as in: usk run -- ls");
}

// An image names a user; where that one lives stands in its /etc/passwd.
void Sandbox::find_home() {
  if (!image_ || !image_->config) return;
  for (const std::string& e : config_.env) {
    if (e.starts_with("HOME=")) return;
  }
  config_.env.push_back("HOME=" + user_home(root_, config_.user));
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

// While it still can be.
OrFailure<void> Sandbox::open_trace() {
  if (!config_.trace || config_.trace_file.empty()) return {};
  auto file = host::create_file(config_.trace_file);
  if (!file) {
    return fail(fmt::format("--trace={}: {}", config_.trace_file, strerror(int(file.error()))));
  }
  trace_file_ = std::move(*file);
  return {};
}

OrFailure<void> Sandbox::start_trace() {
  if (!config_.trace) return {};
  const int fd = trace_file_ ? trace_file_.get() : 2;
  trace_ = trace_calls(*kernel_, {}, [fd](const std::string& line) {
    (void)host::write(fd, std::as_bytes(std::span(line)));
  });
  return {};
}

// While files and libraries can still be opened.
OrFailure<void> Sandbox::make_policy() {
  const auto saved = TRY(restore_policy(config_));
  if (!config_.policy) return {};
  EnforcerOptions options{.explain = config_.explain,
                          .warn_only = config_.policy_warn_only,
                          .audit_file = config_.audit_file,
                          .learn = config_.learn};
  options.call_name = [](uint64_t nr) -> std::string_view {
    return nr < kSyscallCount ? kSyscalls[nr].name : "an unknown call";
  };
  enforcer_ = TRY(Enforcer::make(*std::move(config_.policy), std::move(options), saved));
  config_.policy.reset();
  return {};
}

void Sandbox::start_policy() {
  if (!enforcer_) return;
  enforcer_->install(*kernel_);
  kernel_->hooks.invoke = [](Task& t, SyscallFrame& frame) {
    return static_cast<Enforcer*>(installed_guard)->invoke(t, frame, invoke_syscall);
  };
}

OrFailure<void> Sandbox::make_init(const WalkContext& root) {
  ProcessSpec spec;
  spec.fds = make_ref<FdTable>();
  spec.fs = make_ref<FsState>(root.root, root.root, 022);
  spec.creds = root.creds;
  spec.ns = initial_namespaces(*kernel_, root, config_.hostname);
  spec.limits = default_limits(config_.pids);
  auto init = make_process(*kernel_, spec);
  if (!init) return fail("cannot make the first process");
  (*init)->set_name("init");
  (*init)->where = Task::Where::kGone;  // It has no code to run.
  kernel_->init = (*init)->group;
  return {};
}

CommandSpec Sandbox::command_spec() const {
  return {.argv = config_.command,
          .env = config_.env,
          .cwd = config_.cwd,
          .user = config_.user,
          .limits = default_limits(config_.pids)};
}

OrFailure<ExecStarted> Sandbox::exec(ExecRequest request) {
  CommandSpec spec = command_spec();
  spec.argv = std::move(request.argv);
  merge_environment(spec.env, request.env);
  if (!request.cwd.empty()) spec.cwd = request.cwd;
  if (!request.user.empty()) spec.user = request.user;
  StreamSource source{.poller = poller_, .streams = &request.streams};
  ExecStarted started;
  if (request.terminal) {
    const GuardPause pause;
    WalkContext ctx = root_;
    ctx.creds = TRY(user_creds(root_, spec.user));
    auto terminal =
        RemoteTerminal::make(poller_, request.streams[0]->get(), ctx, *request.terminal);
    if (!terminal) {
      return fail(fmt::format("cannot make a terminal: {}", strerror(int(terminal.error()))));
    }
    started.terminal = std::move(*terminal);
    source.remote = started.terminal.get();
  }
  started.program = TRY(start_command(*kernel_, root_, spec, source));
  if (started.terminal) started.terminal->start();
  return started;
}

// A sandbox that nobody named may do without: where no directory can be had, it only runs.
OrFailure<void> Sandbox::register_self() {
  if (!config_.autosave_plan.empty()) return {};  // Its next process would be another entry.
  auto entry = Registration::make(config_.name, config_.command);
  if (entry) {
    entry_ = std::move(*entry);
  } else if (config_.name.empty()) {
    LOG_WARNING("usk list, exec and kill cannot reach this sandbox: {}", entry.error().message);
  } else {
    return std::unexpected(entry.error());
  }
  return {};
}

OrFailure<void> Sandbox::start_control() {
  if (enforcer_) enforcer_->set_first(main_);
  if (!entry_) return {};
  auto watcher = EpollWatcher::make(poller_);
  if (!watcher) return fail(fmt::format("epoll: {}", strerror(int(watcher.error()))));
  watcher_ = std::move(*watcher);
  kernel_->poller = watcher_.get();
  control_ = TRY(ControlServer::make(
      *kernel_, *watcher_, std::move(entry_), main_,
      [this](ExecRequest q) { return exec(std::move(q)); },
      [this](CheckpointRequest q, std::function<void(OrFailure<void>)> done) {
        return begin_checkpoint(std::move(q), std::move(done));
      }));
  if (enforcer_) {
    control_->set_denials([this] { return enforcer_->recent(); });
    control_->set_policy([this](std::string_view command) { return enforcer_->tell(command); });
  }
  return {};
}

OrFailure<std::unique_ptr<ImageJob>> Sandbox::begin_image(state::ImageWriter image,
                                                          ImageJob::Then then,
                                                          const TellConfig& tell) {
  if (damaged_) return fail("the image that it runs on from is damaged");
  config_.saved_policy = enforcer_ ? TRY(save_policy(*enforcer_, config_)) : "";
  const std::string config = to_text(config_);
  if (tell) tell(config);
  const SandboxState state{main_, root_.root, root_.creds, root_.mounts,
                           terminal_ ? terminal_->tty() : Ref<Tty>()};
  // What has not run yet is still what it was.
  const uint64_t generation = kernel_->origin.generation - !has_begun_;
  return ImageJob::begin(*kernel_, state, config, generation, std::move(image), then);
}

OrFailure<state::ImageWriter> Sandbox::writer_for(CheckpointRequest& request) {
  auto writer = state::ImageWriter::into(std::move(request.files));
  TRY(writer.set_form(std::move(request.form)));
  return writer;
}

OrFailure<void> Sandbox::checkpoint(CheckpointRequest request) {
  auto job = TRY(begin_image(TRY(writer_for(request)), ImageJob::Then::kEnds));
  while (TRY(job->step())) {
  }
  return job->finish(/*sync=*/false);
}

std::unique_ptr<CheckpointJob> Sandbox::begin_checkpoint(
    CheckpointRequest request, std::function<void(OrFailure<void>)> done) {
  finish_image();
  if (kernel_->background) {
    done(fail("the sandbox is being saved already"));
    return nullptr;
  }
  if (!request.leave_running) {
    done(checkpoint(std::move(request)));
    return nullptr;
  }
  auto writer = writer_for(request);
  const auto then = request.board ? ImageJob::Then::kIsRead : ImageJob::Then::kRunsOn;
  auto job = writer ? begin_image(*std::move(writer), then, request.tell_config)
                    : std::unexpected(writer.error());
  if (job && request.board) {
    if (auto let = (*job)->let_read(request.board); !let) job = std::unexpected(let.error());
  }
  if (!job) {
    done(std::unexpected(job.error()));
    return nullptr;
  }
  // Its owner brings it to the disk: that would take our time.
  return std::make_unique<BackgroundImage>(*kernel_, std::move(*job), /*sync=*/false,
                                           std::move(done));
}

bool Sandbox::autosave() {
  if (!autosave_ || !autosave_->is_due()) return false;
  finish_image();
  auto saved = checkpoint({.files = given_files(config_.autosave_files)});
  if (saved) return exit_code_ = kSavedExit, true;
  LOG_ERROR("{}", saved.error().message);
  exit_code_ = 125;
  return true;
}

int Sandbox::run() {
  if (const auto begins = std::exchange(begins_, nullptr)) begins();
  auto ended = [this] {
    if (images_) images_->serve();
    if (autosave()) return true;
    Lock lock(task_mutex);
    if (!main_->zombie && !main_->reaped) return false;
    const size_t init_and_command = main_->reaped ? 1 : 2;
    return !config_.exit_wait_all || kernel_->task_count() <= init_and_command;
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
  if (checking_ || unpacking_) kernel_->background = nullptr;  // Nobody waits for the rest.
  kernel_->finish_background();                                // Copies may wait for their memory.
  if (images_) images_->finish();
  images_.reset();
  if (exit_code_ && terminal_) terminal_->leave();
  if (timeout_) kernel_->time.disarm(*timeout_);
  int status = main_->exit_status;
  if (exit_code_) status = W_EXITCODE(exit_code_, 0);
  if (const auto code = enforcer_ ? enforcer_->exit_code() : std::nullopt) {
    status = W_EXITCODE(*code, 0);
  }
  end_all();
  if (control_) control_->finish(status);
  if (terminal_) terminal_->stop();
  return status;
}

void Sandbox::end_all() {
  // Rings until it is heard.
  struct Alarm final : TimerClient {
    explicit Alarm(Timekeeper& t) : time(t) {}
    Timekeeper& time;
    bool over = false;
    void ring_in(int64_t ns) {
      time.arm(Ref<TimerClient>::share(this), CLOCK_MONOTONIC, time.monotonic() + ns);
    }
    void expired() override {
      over = true;
      ring_in(kNsPerSecond / 1000);
    }
  };
  kernel_->kill_all();
  const auto alarm = make_ref<Alarm>(kernel_->time);
  alarm->ring_in(2 * kNsPerSecond);
  kernel_->run([&] {
    Lock lock(task_mutex);
    return kernel_->task_count() <= 1 || alarm->over;
  });
  kernel_->time.disarm(*alarm);
  if (alarm->over) LOG_WARNING("processes of the sandbox do not end");
}

}  // namespace usk
