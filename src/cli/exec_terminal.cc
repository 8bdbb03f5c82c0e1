#include "cli/exec_terminal.h"

#include <fmt/format.h>
#include <signal.h>
#include <string.h>

#include <array>
#include <optional>

#include "cli/carrier.h"
#include "host/event_poll.h"
#include "host/local_socket.h"
#include "host/terminal.h"

namespace usk {
namespace {

constexpr size_t kChunk = 4096;  // Typed ahead at most.
// The host sends SIGWINCH before the new size can be read at the slave's end of a pseudo-terminal.
constexpr int kLateLookMs = 5;

class TerminalSession {
 public:
  TerminalSession(ControlClient& client, UniqueFd socket, UniqueFd signals)
      : client_(client), socket_(std::move(socket)), signals_(std::move(signals)) {}

  OrFailure<int> run() {
    auto saved = host::terminal_attributes(0);
    if (!saved) return fail(fmt::format("the terminal: {}", strerror(int(saved.error()))));
    saved_ = *saved;
    auto guard = host::TerminalGuard::make(0, saved_);
    if (!guard) return fail(fmt::format("the terminal: {}", strerror(int(guard.error()))));
    guard->arm();
    take_typed_ahead();
    go_raw();
    TRY(follow_size());
    while (!exit_ || socket_ || !shown_.empty()) TRY(step());
    return *exit_;
  }

 private:
  // Whole lines that were typed before are read while the terminal knows them as lines: in raw mode
  // an end of file among them would be a zero byte.
  void take_typed_ahead() {
    std::array<pollfd, 1> p{{{0, POLLIN, 0}}};
    while ((saved_.c_lflag & ICANON) && typed_.size() < kChunk && host::wait_ready(p, 0) &&
           p[0].revents == POLLIN) {
      if (!typed_.take(0)) typed_.add(std::byte{saved_.c_cc[VEOF]});
    }
  }

  void go_raw() { (void)host::set_terminal_attributes(0, host::raw_attributes(saved_)); }

  OrFailure<void> follow_size() {
    auto size = host::terminal_size(0);
    if (!size || (size->ws_row == size_.ws_row && size->ws_col == size_.ws_col) || exit_) return {};
    size_ = *size;
    return client_.send({{"op", "resize"}, {"rows", size_.ws_row}, {"columns", size_.ws_col}});
  }

  OrFailure<void> step() {
    const int socket = socket_ ? socket_.get() : -1;
    const short socket_events =
        short((shown_.empty() ? POLLIN : 0) | (typed_.empty() ? 0 : POLLOUT));
    std::array<pollfd, 5> p{{{exit_ ? -1 : client_.fd(), POLLIN, 0},
                             {signals_.get(), POLLIN, 0},
                             {typed_.empty() && socket_ ? 0 : -1, POLLIN, 0},
                             {socket_events ? socket : -1, socket_events, 0},
                             {shown_.empty() ? -1 : 1, POLLOUT, 0}}};
    if (!host::wait_ready(p, late_look_ ? kLateLookMs : -1)) {
      late_look_ = false;
      return follow_size();
    }
    if (p[4].revents && !shown_.put(1)) hang_up();
    if (p[3].revents & POLLOUT && !typed_.put(socket)) typed_.drop();
    // Behind the last that the program wrote the sandbox closes.
    if (p[3].revents & (POLLIN | POLLHUP | POLLERR) && shown_.empty() && !shown_.take(socket)) {
      socket_.reset();
    }
    if (p[2].revents) {
      if (!typed_.take(0)) hang_up();
      // Whoever typed it may have seen the new size before: that is told before it is passed on.
      TRY(follow_size());
    }
    if (p[1].revents) TRY(heed_signals());
    if (p[0].revents) TRY(client_.read());
    return heed_messages();
  }

  // Our terminal is gone; so is the program's.
  void hang_up() {
    socket_.reset();
    shown_.drop();
    typed_.drop();
  }

  OrFailure<void> heed_signals() {
    while (auto signal = host::next_signal(signals_.get())) {
      if (*signal == SIGWINCH || *signal == SIGCONT) {
        TRY(follow_size());
        late_look_ = true;
        // Whoever stopped us has used the terminal meanwhile.
        if (*signal == SIGCONT && host::in_foreground(0)) go_raw();
      } else if (!exit_) {
        TRY(client_.send({{"op", "signal"}, {"signal", *signal}}));
      }
    }
    return {};
  }

  OrFailure<void> heed_messages() {
    while (std::optional<Json> message = TRY(client_.received())) {
      if (message->contains("exit")) exit_ = int(number_of(*message, "exit", 125));
    }
    return {};
  }

  ControlClient& client_;
  UniqueFd socket_;  // None: all was shown.
  UniqueFd signals_;
  Carrier typed_, shown_;
  struct termios2 saved_{};
  winsize size_{};
  bool late_look_ = false;
  std::optional<int> exit_;
};

}  // namespace

OrFailure<int> exec_on_terminal(ControlClient& client, Json request) {
  auto signals =
      host::signals_as_fd({SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT});
  if (!signals) return fail(fmt::format("signalfd: {}", strerror(int(signals.error()))));
  auto pair = host::local_pair();
  if (!pair) return fail(fmt::format("socketpair: {}", strerror(int(pair.error()))));
  const winsize size = host::terminal_size(0).value_or(winsize{});
  request["terminal"] = {{"rows", size.ws_row}, {"columns", size.ws_col}};
  TRY(client.send(request, {pair->second.get()}));
  pair->second.reset();
  const Json started = TRY(client.receive());
  if (started.contains("exit")) return int(number_of(started, "exit", 125));
  return TerminalSession(client, std::move(pair->first), std::move(*signals)).run();
}

}  // namespace usk
