#include "control/links.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include "host/event_poll.h"
#include "host/stream.h"

namespace usk {
namespace {

// As much as is kept for who does not listen.
constexpr size_t kMostBacklog = 4 << 20;

// A socket that is written as far as it takes, and watched for the rest. Who asks and does not
// listen is not read any further.
class Outlet {
 public:
  Outlet(Watcher& watcher, UniqueFd socket, std::function<void(uint32_t)> ready)
      : watcher_(watcher), socket_(std::move(socket)), ready_(std::move(ready)) {}
  ~Outlet() { close(); }
  int fd() const { return socket_.get(); }
  bool is_open() const { return bool(socket_); }
  size_t backlog() const { return out_.size() - sent_; }

  Result<void> begin() { return watch(EPOLLIN); }
  void close() {
    if (!socket_) return;
    watcher_.unwatch(fd());
    socket_.reset();
  }
  void put(std::string_view bytes) {
    if (sent_ == out_.size()) out_.clear(), sent_ = 0;
    out_ += bytes;
  }
  // False: the far end is gone.
  bool flush() {
    while (is_open() && backlog() > 0) {
      auto n = host::write_nowait(fd(), std::as_bytes(std::span(out_)).subspan(sent_));
      if (failed_with(n, EAGAIN)) break;
      if (!n) return false;
      sent_ += *n;
    }
    if (!is_open()) return false;
    const bool full = backlog() >= kMostBacklog;
    return watch(full ? EPOLLOUT : backlog() ? EPOLLIN | EPOLLOUT : EPOLLIN).has_value();
  }
  // Has what was put looked at by the loop, not here.
  bool flush_soon() { return is_open() && watch(EPOLLIN | EPOLLOUT).has_value(); }

 private:
  Result<void> watch(uint32_t events) {
    if (events == watched_) return {};
    TRY(watcher_.watch(fd(), events, [this, events] { ready_(events); }));
    watched_ = events;
    return {};
  }

  Watcher& watcher_;
  UniqueFd socket_;
  const std::function<void(uint32_t)> ready_;
  uint32_t watched_ = 0;
  std::string out_;
  size_t sent_ = 0;
};

class DebugLink final : public Link {
 public:
  DebugLink(Watcher& watcher, UniqueFd socket, LinkOver over)
      : watcher_(watcher),
        outlet_(watcher, std::move(socket), [this](uint32_t) { ready(); }),
        over_(std::move(over)) {}
  ~DebugLink() override {
    if (event_) watcher_.unwatch(event_.get());
  }

  Result<void> begin(Ref<ThreadGroup> process) {
    event_ = TRY(host::make_event());
    TRY(watcher_.watch(event_.get(), EPOLLIN, [this] {
      host::clear_event(event_.get());
      settled();
    }));
    TRY(outlet_.begin());
    const int event = event_.get();
    server_ =
        TRY(gdb::GdbServer::attach(std::move(process), [event] { host::raise_event(event); }));
    return {};
  }

  void close() override {
    outlet_.close();
    if (server_ && !server_->can_leave()) return;  // Once it has settled.
    server_.reset();
    if (event_) watcher_.unwatch(event_.get());
    event_.reset();
  }
  bool is_closed() const override { return !server_; }
  void finish() override {
    if (server_) settled();
  }

 private:
  void settled() {
    if (!outlet_.is_open()) return end();
    server_->settled();
    flush();
  }

  void ready() {
    std::array<std::byte, 16384> chunk;
    if (outlet_.backlog() < kMostBacklog) {
      auto n = host::read_nowait(outlet_.fd(), chunk);
      if (!failed_with(n, EAGAIN)) {
        if (!n || *n == 0) return end();
        server_->receive({reinterpret_cast<const char*>(chunk.data()), *n});
      }
    }
    flush();
  }

  void flush() {
    outlet_.put(server_->take_output());
    if (!outlet_.flush() || (server_->is_done() && outlet_.backlog() == 0)) end();
  }

  void end() {
    close();
    if (is_closed() && over_) std::exchange(over_, nullptr)();
  }

  Watcher& watcher_;
  Outlet outlet_;
  LinkOver over_;
  UniqueFd event_;
  std::unique_ptr<gdb::GdbServer> server_;
};

class TraceLink final : public Link {
 public:
  TraceLink(Watcher& watcher, UniqueFd socket, LinkOver over)
      : outlet_(watcher, std::move(socket), [this](uint32_t events) { ready(events); }),
        over_(std::move(over)) {}
  ~TraceLink() override { close(); }

  Result<void> begin(Kernel& kernel, TraceChoice choice) {
    TRY(outlet_.begin());
    trace_ =
        trace_calls(kernel, std::move(choice), [this](const std::string& text) { line(text); });
    return {};
  }
  void close() override {
    trace_.reset();
    outlet_.close();
  }
  bool is_closed() const override { return !trace_; }
  void finish() override { (void)outlet_.flush(); }

 private:
  void line(const std::string& text) {
    if (!outlet_.is_open()) return;
    if (outlet_.backlog() + text.size() > kMostBacklog) {
      lost_++;
      return;
    }
    if (lost_) outlet_.put(fmt::format("... {} lines left out\n", std::exchange(lost_, 0)));
    outlet_.put(text);
    (void)outlet_.flush_soon();
  }

  void ready(uint32_t) {
    std::array<std::byte, 64> chunk;
    auto n = host::read_nowait(outlet_.fd(), chunk);
    const bool gone = !failed_with(n, EAGAIN) && (!n || *n == 0);
    if (!gone && outlet_.flush()) return;
    close();
    if (over_) std::exchange(over_, nullptr)();
  }

  Outlet outlet_;
  LinkOver over_;
  std::unique_ptr<CallTrace> trace_;
  uint64_t lost_ = 0;
};

}  // namespace

Result<std::unique_ptr<Link>> make_debug_link(Watcher& watcher, UniqueFd socket,
                                              Ref<ThreadGroup> process, LinkOver over) {
  auto link = std::make_unique<DebugLink>(watcher, std::move(socket), std::move(over));
  TRY(link->begin(std::move(process)));
  return link;
}

Result<std::unique_ptr<Link>> make_trace_link(Kernel& kernel, Watcher& watcher, UniqueFd socket,
                                              TraceChoice choice, LinkOver over) {
  auto link = std::make_unique<TraceLink>(watcher, std::move(socket), std::move(over));
  TRY(link->begin(kernel, std::move(choice)));
  return link;
}

}  // namespace usk
