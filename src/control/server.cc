#include "control/server.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "base/log.h"
#include "control/links.h"
#include "control/report.h"
#include "host/file.h"
#include "host/file_io.h"
#include "host/local_socket.h"
#include "kernel/signal/send.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

constexpr size_t kMaxClients = 64;

int exit_code(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

winsize size_of(const Json& object) {
  winsize size{};
  size.ws_row = static_cast<unsigned short>(number_of(object, "rows"));
  size.ws_col = static_cast<unsigned short>(number_of(object, "columns"));
  return size;
}

Json error_reply(const Failure& f) { return {{"error", f.message}, {"code", f.exit_code}}; }

}  // namespace

// Raised by the exit of a program that usk exec started.
class ControlServer::ExitEvent final : public Waiter {
 public:
  explicit ExitEvent(int fd) : fd_(fd) {}
  void notify(PollMask) override { host::raise_event(fd_); }

 private:
  const int fd_;
};

struct ControlServer::Client {
  explicit Client(UniqueFd socket) : stream(std::move(socket), kMaxRequest) {}
  MessageStream stream;
  bool waits = false;            // Is told when the sandbox has ended.
  bool has_image = false;        // It may end the sandbox, ...
  bool holds = false;            // ... which otherwise goes on when the connection is gone.
  bool closing = false;          // Once all is written.
  bool lost = false;             // To be forgotten.
  Ref<ThreadGroup> program;      // What it started.
  Ref<RemoteTerminal> terminal;  // ... and on what.
  std::unique_ptr<Link> link;    // Debugging or tracing.
  std::unique_ptr<CheckpointJob> checkpoint;
};

ControlServer::ControlServer(Kernel& kernel, Watcher& watcher, std::unique_ptr<Registration> entry,
                             Ref<ThreadGroup> main, ExecHook exec, CheckpointHook checkpoint)
    : kernel_(kernel),
      watcher_(watcher),
      entry_(std::move(entry)),
      main_(std::move(main)),
      exec_(std::move(exec)),
      checkpoint_(std::move(checkpoint)) {}

OrFailure<std::unique_ptr<ControlServer>> ControlServer::make(Kernel& kernel, Watcher& watcher,
                                                              std::unique_ptr<Registration> entry,
                                                              Ref<ThreadGroup> main, ExecHook exec,
                                                              CheckpointHook checkpoint) {
  std::unique_ptr<ControlServer> s(new ControlServer(
      kernel, watcher, std::move(entry), std::move(main), std::move(exec), std::move(checkpoint)));
  auto event = host::make_event();
  Result<void> ok = event ? Result<void>() : std::unexpected(event.error());
  if (ok) {
    s->exit_event_fd_ = std::move(*event);
    s->exit_event_ = make_ref<ExitEvent>(s->exit_event_fd_.get());
    ok = watcher.watch(s->exit_event_fd_.get(), EPOLLIN, [p = s.get()] { p->report_exits(); });
  }
  if (ok) ok = s->watch_listener();
  if (!ok)
    return fail(fmt::format("cannot serve the control socket: {}", strerror(int(ok.error()))));
  return s;
}

ControlServer::~ControlServer() {
  if (retry_) kernel_.time.disarm(*retry_);
  for (auto& c : clients_) close_client(*c);
  if (entry_) watcher_.unwatch(entry_->socket());
  watcher_.unwatch(exit_event_fd_.get());
}

// Looks at the listening socket again when there may be a descriptor for who waits there.
class ControlServer::Retry final : public TimerClient {
 public:
  explicit Retry(ControlServer& server) : server_(server) {}
  void expired() override { (void)server_.watch_listener(); }

 private:
  ControlServer& server_;
};

Result<void> ControlServer::watch_listener() {
  if (!entry_) return {};  // The sandbox has ended meanwhile.
  return watcher_.watch(entry_->socket(), EPOLLIN, [this] { accept_clients(); });
}

Result<UniqueFd> ControlServer::accept_one() {
  if (!spare_) {
    if (auto any = host::duplicate(entry_->socket())) spare_ = std::move(*any);
  }
  auto socket = host::accept_local(entry_->socket());
  if (!failed_with(socket, EMFILE) && !failed_with(socket, ENFILE)) return socket;
  spare_.reset();
  return host::accept_local(entry_->socket());
}

void ControlServer::accept_clients() {
  constexpr int64_t kPause = 100'000'000;
  std::erase_if(clients_,
                [](const auto& c) { return c->lost && (!c->link || c->link->is_closed()); });
  auto socket = accept_one();
  if (!socket) {
    if (failed_with(socket, EAGAIN) || failed_with(socket, ECONNABORTED)) return;
    if (kernel_.time.stands_still()) return;  // No timer would wake us.
    // It stays readable: looking at once would go on for ever.
    watcher_.unwatch(entry_->socket());
    if (!retry_) retry_ = make_ref<Retry>(*this);
    kernel_.time.arm(retry_, CLOCK_MONOTONIC, kernel_.time.monotonic() + kPause);
    return;
  }
  auto uid = host::peer_uid(socket->get());
  if (!uid || *uid != host::effective_uid() || clients_.size() >= kMaxClients) {
    LOG_WARNING("a control connection was refused");
    return;
  }
  Client* c = clients_.emplace_back(std::make_unique<Client>(std::move(*socket))).get();
  if (!watcher_.watch(c->stream.fd(), EPOLLIN, [this, c] { serve(*c); })) close_client(*c);
}

void ControlServer::serve(Client& c) {
  if (c.stream.has_output()) return flush(c);
  auto in = c.stream.read_in();
  if (!in) {
    if (!failed_with(in, EAGAIN)) close_client(c);
    return;
  }
  while (!c.closing && !c.lost) {
    auto request = c.stream.next();
    if (!request) {
      c.closing = true;
      return reply(c, error_reply({"the request is too long or not JSON"}));
    }
    if (!*request) return;
    answer(c, **request);
  }
}

void ControlServer::answer(Client& c, const Json& request) {
  const std::string op = text_of(request, "op");
  if (op == "signal" && c.program) return forward_signal(c, int(number_of(request, "signal")));
  if (op == "resize" && c.terminal) return c.terminal->resize(size_of(request));
  if (c.program || c.waits || c.link) {
    c.closing = true;
    return reply(c, error_reply({"one request at a time"}));
  }
  if (op == "ps") return reply(c, process_report(kernel_));
  if (op == "stats") return reply(c, stats_report(kernel_));
  if (op == "why") return tell_why(c, request);
  if (op == "policy") return tell_policy(c, request);
  if (op == "kill") return kill_main(c, int(number_of(request, "signal")));
  if (op == "exec") return run_exec(c, request);
  if (op == "find") {
    if (auto g = find_process(c, request)) reply(c, {{"pid", g->pid->root_nr()}});
    return;
  }
  if (op == "debug") return run_debug(c, request);
  if (op == "trace") return run_trace(c, request);
  if (op == "checkpoint") return run_checkpoint(c, request);
  if (op == "end" && c.has_image) return kill_main(c, SIGKILL);
  if (op == "pause" || op == "resume") return set_paused(c, op == "pause");
  if (op == "wait") {
    c.waits = true;
    return;
  }
  reply(c, error_reply({fmt::format("this sandbox does not know the request {:?}", op)}));
}

void ControlServer::tell_why(Client& c, const Json& request) {
  if (!denials_) return reply(c, error_reply({"this sandbox has no policy"}));
  std::vector<Denial> all = denials_();
  const auto last = size_t(std::clamp<int64_t>(number_of(request, "last", 20), 0, 1000));
  if (all.size() > last) all.erase(all.begin(), all.end() - long(last));
  Json denials = Json::array();
  for (const Denial& d : all) denials.push_back({{"text", d.text()}, {"entry", Json(d.json())}});
  reply(c, {{"denials", std::move(denials)}});
}

void ControlServer::tell_policy(Client& c, const Json& request) {
  if (!policy_) return reply(c, error_reply({"this sandbox has no policy"}));
  const auto done = policy_(text_of(request, "command"));
  reply(c, done ? Json::object() : error_reply(done.error()));
}

void ControlServer::kill_main(Client& c, int signal) {
  if (signal < 1 || signal > 64) return reply(c, error_reply({"a signal is a number up to 64"}));
  if (signal == SIGKILL) {
    c.waits = true;
    return kernel_.kill_all();
  }
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_USER;
  Result<void> sent;
  {
    Lock lock(task_mutex);
    sent = main_->zombie || main_->reaped ? Err(ESRCH) : send_group_signal(*main_, info);
  }
  if (sent) return reply(c, Json::object());
  reply(c,
        error_reply({fmt::format("cannot signal the command: {}", strerror(int(sent.error())))}));
}

void ControlServer::set_paused(Client& c, bool paused) {
  paused ? kernel_.pause() : kernel_.resume();
  auto told = entry_->set_status(paused ? "paused" : "running");
  if (!told) return reply(c, error_reply(told.error()));
  reply(c, Json::object());
}

bool ControlServer::is_paused(Client& c) {
  if (!kernel_.is_paused()) return false;
  reply(c, error_reply({"the sandbox is paused; usk resume lets it go on"}));
  return true;
}

void ControlServer::forward_signal(Client& c, int signal) {
  siginfo_t info{};
  info.si_signo = signal;
  info.si_code = SI_USER;
  Lock lock(task_mutex);
  const bool alive = !c.program->zombie && !c.program->reaped;
  if (alive && signal > 0 && signal <= 64) (void)send_group_signal(*c.program, info);
}

void ControlServer::run_exec(Client& c, const Json& request) {
  ExecRequest q{.argv = texts_of(request, "argv"),
                .env = texts_of(request, "env"),
                .cwd = text_of(request, "cwd"),
                .user = text_of(request, "user")};
  std::vector<UniqueFd> fds = c.stream.take_fds();
  if (is_paused(c)) return;
  const auto terminal = request.find("terminal");
  if (terminal != request.end() && terminal->is_object()) q.terminal = size_of(*terminal);
  if (q.argv.empty() || fds.size() != (q.terminal ? 1 : q.streams.size())) {
    return reply(c, error_reply({"exec needs a command and its streams"}));
  }
  {
    Lock lock(task_mutex);
    if (main_->zombie || main_->reaped) return reply(c, error_reply({"the sandbox is ending"}));
  }
  for (size_t i = 0; i < fds.size(); i++) q.streams[i] = make_ref<HostFd>(std::move(fds[i]));
  auto started = exec_(std::move(q));
  if (!started) return reply(c, error_reply(started.error()));
  c.program = std::move(started->program);
  c.terminal = std::move(started->terminal);
  if (c.terminal) c.terminal->before_input([this, &c] { serve(c); });
  c.program->pid->exit_queue.add(exit_event_, POLLIN);
  reply(c, {{"started", c.program->pid->root_nr()}});
}

Ref<ThreadGroup> ControlServer::find_process(Client& c, const Json& request) {
  const int64_t nr = number_of(request, "pid");
  Ref<ThreadGroup> found;
  {
    Lock lock(task_mutex);
    if (nr == 0) {
      found = main_;
    } else if (nr > 0 && nr <= INT32_MAX) {
      if (auto pid = kernel_.root_pid_ns->find(int(nr)))
        found = Ref<ThreadGroup>::share(pid->group);
    }
    if (found && (found == kernel_.init || found->zombie || found->reaped)) found.reset();
  }
  if (!found) reply(c, error_reply({fmt::format("there is no process {} that runs", nr)}));
  return found;
}

void ControlServer::run_debug(Client& c, const Json& request) {
  std::vector<UniqueFd> fds = c.stream.take_fds();
  if (fds.size() != 1) return reply(c, error_reply({"debug needs a socket"}));
  if (is_paused(c)) return;
  const Ref<ThreadGroup> g = find_process(c, request);
  if (!g) return;
  auto link = make_debug_link(watcher_, std::move(fds[0]), g, [this, p = &c] {
    p->closing = true;
    reply(*p, {{"ended", true}});
  });
  if (!link) {
    const bool busy = failed_with(link, EBUSY);
    return reply(
        c,
        error_reply({fmt::format("cannot debug process {}: {}", g->pid->root_nr(),
                                 busy ? "another debugger has it" : strerror(int(link.error())))}));
  }
  c.link = std::move(*link);
  reply(c, {{"debugging", g->pid->root_nr()}});
}

void ControlServer::run_trace(Client& c, const Json& request) {
  std::vector<UniqueFd> fds = c.stream.take_fds();
  if (fds.size() != 1) return reply(c, error_reply({"trace needs a socket"}));
  TraceChoice choice;
  if (number_of(request, "pid") != 0) {
    const Ref<ThreadGroup> g = find_process(c, request);
    if (!g) return;
    choice.pid = g->pid->root_nr();
  }
  for (const std::string& name : texts_of(request, "calls")) {
    if (!choice.calls) choice.calls.emplace();
    const auto e = std::ranges::find(kSyscalls, name, &SyscallEntry::name);
    if (name.empty() || e == kSyscalls.end()) {
      return reply(c, error_reply({fmt::format("{:?} is no system call", name)}));
    }
    choice.calls->insert(uint64_t(e - kSyscalls.begin()));
  }
  auto link =
      make_trace_link(kernel_, watcher_, std::move(fds[0]), std::move(choice), [this, p = &c] {
        p->closing = true;
        reply(*p, {{"ended", true}});
      });
  if (!link) {
    return reply(c, error_reply({fmt::format("cannot trace: {}", strerror(int(link.error())))}));
  }
  c.link = std::move(*link);
  reply(c, {{"tracing", true}});
}

// What it did from now on would be lost: its image is to be put in place.
void ControlServer::hold(Client& c) {
  c.has_image = true;
  c.holds = !kernel_.is_paused();
  kernel_.pause();
}

void ControlServer::run_checkpoint(Client& c, const Json& request) {
  CheckpointRequest q;
  std::vector<std::string> names = texts_of(request, "parts");
  std::vector<UniqueFd> fds = c.stream.take_fds();
  names.push_back("manifest");
  const auto base = request.find("base");
  const bool has_base = base != request.end() && base->is_object();
  const bool has_board = request.contains("board");
  if (fds.size() != names.size() + has_base + has_board) {
    return reply(c, error_reply({"checkpoint needs a file for each part"}));
  }
  for (size_t i = 0; i < names.size(); i++) {
    q.files.emplace_back(names[i], make_ref<HostFd>(std::move(fds[i])));
  }
  const auto hash = request.find("hash_files");
  q.form.files_hashed = hash != request.end() && *hash == true;
  q.form.compressed = text_of(request, "compress") == "zstd";
  if (has_base) {
    q.form.base = {text_of(*base, "path"), text_of(*base, "checksum")};
    q.form.base_pages = make_ref<HostFd>(std::move(fds[names.size()]));
  }
  if (has_board) {
    q.board = make_ref<HostFd>(std::move(fds.back()));
    q.tell_config = [this, p = &c](const std::string& text) { reply(*p, {{"config", text}}); };
  }
  const auto leave = request.find("leave_running");
  q.leave_running = leave != request.end() && *leave == true;
  const bool stays = q.leave_running;
  c.checkpoint = checkpoint_(std::move(q), [this, stays, p = &c](OrFailure<void> done) {
    if (!done) return reply(*p, error_reply(done.error()));
    if (!stays) hold(*p);
    reply(*p, Json::object());
  });
  // All but the memory is written.
  if (has_board && c.checkpoint) reply(c, {{"begun", true}});
}

void ControlServer::report_exits() {
  host::clear_event(exit_event_fd_.get());
  for (auto& c : clients_) {
    if (!c->program || c->lost) continue;
    int status;
    {
      Lock lock(task_mutex);
      if (!c->program->zombie && !c->program->reaped) continue;
      status = c->program->exit_status;
      c->program->pid->exit_queue.remove(exit_event_.get());
      c->program.reset();
    }
    if (c->terminal) c->terminal->finish();
    reply(*c, {{"exit", exit_code(status)}});
  }
}

void ControlServer::reply(Client& c, const Json& message) {
  if (c.lost) return;
  c.stream.put(message);
  flush(c);
}

void ControlServer::flush(Client& c) {
  auto out = c.stream.write_out();
  if (!out && !failed_with(out, EAGAIN)) return close_client(c);
  if (out && c.closing) return close_client(c);
  const uint32_t events = out ? EPOLLIN : EPOLLOUT;
  if (!watcher_.watch(c.stream.fd(), events, [this, p = &c] { serve(*p); })) close_client(c);
}

// Freed at the next connection, never inside its own callback.
void ControlServer::close_client(Client& c) {
  if (c.lost) return;
  c.lost = true;
  watcher_.unwatch(c.stream.fd());
  c.stream.close();
  if (c.link) c.link->close();
  if (c.holds) kernel_.resume();
  if (c.terminal) c.terminal->close();
  c.terminal.reset();
  if (!c.program) return;
  forward_signal(c, SIGHUP);
  Lock lock(task_mutex);  // The last count of a pid gives its number back.
  c.program->pid->exit_queue.remove(exit_event_.get());
  c.program.reset();
}

void ControlServer::finish(int wait_status) {
  report_exits();
  watcher_.unwatch(entry_->socket());
  entry_.reset();
  for (auto& c : clients_) {
    if (c->link) c->link->finish();
    if (c->waits) reply(*c, {{"exit", exit_code(wait_status)}});
  }
}

}  // namespace usk
