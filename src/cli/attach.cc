// usk debug SANDBOX --gdb, and usk trace: connections that stay.
#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <array>

#include "cli/carrier.h"
#include "cli/commands.h"
#include "control/client.h"
#include "host/event_poll.h"
#include "host/local_socket.h"
#include "host/stream_listener.h"

namespace usk {
namespace {

constexpr int kStopped = 128;  // And the number of the signal that ended us.

OrFailure<UniqueFd> stop_signals() {
  auto signals = host::signals_as_fd({SIGHUP, SIGINT, SIGTERM});
  if (!signals) return fail(fmt::format("signalfd: {}", strerror(int(signals.error()))));
  return std::move(*signals);
}

OrFailure<std::pair<UniqueFd, UniqueFd>> socket_pair() {
  auto pair = host::local_pair();
  if (!pair) return fail(fmt::format("socketpair: {}", strerror(int(pair.error()))));
  return std::move(*pair);
}

// Between the kernel's socket and two descriptors of ours, until the kernel closes it.
class Bridge {
 public:
  // `in` may be -1.
  Bridge(UniqueFd socket, int signals, int in, int out)
      : socket_(std::move(socket)), signals_(signals), in_(in), out_(out) {}

  OrFailure<int> run() {
    while (socket_ || !from_.empty()) {
      TRY(step());
      if (code_) return *code_;
    }
    return 0;
  }

 private:
  OrFailure<void> step() {
    const short events = short((from_.empty() ? POLLIN : 0) | (to_.empty() ? 0 : POLLOUT));
    std::array<pollfd, 4> p{{{socket_ && events ? socket_.get() : -1, events, 0},
                             {socket_ && to_.empty() ? in_ : -1, POLLIN, 0},
                             {from_.empty() ? -1 : out_, POLLOUT, 0},
                             {signals_, POLLIN, 0}}};
    host::wait_ready(p, -1);
    if (p[3].revents) {
      if (auto signal = host::next_signal(signals_)) code_ = kStopped + *signal;
    }
    if (p[2].revents && !from_.put(out_)) {
      return fail(fmt::format("cannot write the output: {}", strerror(errno)));
    }
    if (p[0].revents & POLLOUT && !to_.put(socket_.get())) socket_.reset();
    if (socket_ && p[0].revents & (POLLIN | POLLHUP | POLLERR) && from_.empty() &&
        !from_.take(socket_.get())) {
      socket_.reset();
    }
    // The debugger has gone: so does what it had.
    if (p[1].revents && !to_.take(in_)) code_ = 0;
    return {};
  }

  UniqueFd socket_;
  const int signals_, in_, out_;
  Carrier from_, to_;
  std::optional<int> code_;
};

struct GdbAsked {
  std::string sandbox, address;
  int pid = 0;
};

Json debug_request(const GdbAsked& a) { return {{"op", "debug"}, {"pid", a.pid}}; }

OrFailure<int> serve_on_streams(const GdbAsked& a) {
  ControlClient client = TRY(ControlClient::open(a.sandbox));
  const UniqueFd signals = TRY(stop_signals());
  auto [ours, theirs] = TRY(socket_pair());
  TRY(client.send(debug_request(a), {theirs.get()}));
  theirs.reset();
  TRY(client.receive());
  return Bridge(std::move(ours), signals.get(), 0, 1).run();
}

OrFailure<host::StreamListener> listen_at(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (address.empty() || address.find('/') != address.npos || colon == address.npos) {
    return host::StreamListener::local(address);
  }
  return host::StreamListener::tcp(address.substr(0, colon), address.substr(colon + 1));
}

// Until gdb has come and gone, or there is nothing left for it.
OrFailure<int> serve_one(const GdbAsked& a) {
  ControlClient client = TRY(ControlClient::open(a.sandbox));
  const Json found = TRY(client.call({{"op", "find"}, {"pid", a.pid}}));
  const UniqueFd signals = TRY(stop_signals());
  UniqueFd connection;
  {
    host::StreamListener listener = TRY(listen_at(a.address));
    fmt::print(stderr, "usk: process {}; in gdb: target remote {}\n", number_of(found, "pid"),
               listener.address());
    std::array<pollfd, 3> p{
        {{listener.fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}, {client.fd(), POLLIN, 0}}};
    host::wait_ready(p, -1);
    if (p[1].revents) return kStopped + host::next_signal(signals.get()).value_or(SIGTERM);
    if (p[2].revents) TRY(client.read());
    auto accepted = listener.accept();
    if (!accepted) return fail(fmt::format("accept: {}", strerror(int(accepted.error()))));
    connection = std::move(*accepted);
  }
  TRY(client.send(debug_request(a), {connection.get()}));
  connection.reset();
  TRY(client.receive());
  for (;;) {
    if (TRY(client.received())) return 0;
    if (host::wait_readable(client.fd(), signals.get()) == host::ReadableOf::kSecond) {
      return kStopped + host::next_signal(signals.get()).value_or(SIGTERM);
    }
    // The sandbox has ended, and gdb was told.
    if (!client.read()) return 0;
  }
}

struct TraceAsked {
  std::string sandbox, output;
  int pid = 0;
  std::vector<std::string> calls;
};

OrFailure<int> trace(const TraceAsked& a) {
  ControlClient client = TRY(ControlClient::open(a.sandbox));
  UniqueFd file;
  if (!a.output.empty()) {
    auto made = host::create_file(a.output);
    if (!made) return fail(fmt::format("{}: {}", a.output, strerror(int(made.error()))));
    file = std::move(*made);
  }
  const UniqueFd signals = TRY(stop_signals());
  auto [ours, theirs] = TRY(socket_pair());
  TRY(client.send({{"op", "trace"}, {"pid", a.pid}, {"calls", a.calls}}, {theirs.get()}));
  theirs.reset();
  TRY(client.receive());
  const int code = TRY(Bridge(std::move(ours), signals.get(), -1, file ? file.get() : 1).run());
  // That is how a person ends it.
  return code == kStopped + SIGINT ? 0 : code;
}

int result_of(const OrFailure<int>& code) { return code ? *code : report(code.error()); }

}  // namespace

void add_gdb_flags(CLI::App& cmd, Action& chosen) {
  auto a = std::make_shared<GdbAsked>();
  auto* sandbox = cmd.add_option("sandbox", a->sandbox, "Name, id or the beginning of an id");
  auto* gdb = cmd.add_option("--gdb", a->address,
                             "Serve gdb at HOST:PORT, :PORT, a UNIX socket's PATH or - for the "
                             "standard streams; a socket of its own if left out")
                  ->expected(0, 1)
                  ->type_name("[ADDRESS]");
  auto* pid = cmd.add_option("--pid", a->pid, "The process, as usk ps has it; else the command")
                  ->check(CLI::PositiveNumber);
  cmd.final_callback([a, sandbox, gdb, pid, &cmd, &chosen] {
    const bool table = !cmd.get_subcommands().empty();
    if (table && (sandbox->count() || gdb->count() || pid->count())) {
      throw CLI::ValidationError("debug", "give a sandbox and --gdb, or a table to print");
    }
    if (table) return;
    if (!sandbox->count() || !gdb->count()) {
      throw CLI::RequiredError("a sandbox and --gdb, or a table to print");
    }
    chosen = [a] { return result_of(a->address == "-" ? serve_on_streams(*a) : serve_one(*a)); };
  });
}

void add_trace_command(CLI::App& app, Action& chosen) {
  auto a = std::make_shared<TraceAsked>();
  auto* cmd = app.add_subcommand("trace", "Print a running sandbox's system calls until ^C");
  cmd->add_option("sandbox", a->sandbox, "Name, id or the beginning of an id")->required();
  cmd->add_option("--pid,-p", a->pid, "Of this process alone")->check(CLI::PositiveNumber);
  cmd->add_option("--output,-o", a->output, "Write to this file");
  cmd->add_option("-e", a->calls, "Only these calls: NAME,NAME...")->delimiter(',');
  cmd->final_callback([a, &chosen] { chosen = [a] { return result_of(trace(*a)); }; });
}

}  // namespace usk
