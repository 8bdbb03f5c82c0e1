// Questions and settings: packets q, Q and v.
#include <fmt/format.h>

#include "gdb/server.h"
#include "kernel/kernel.h"
#include "kernel/run/syscall_states.h"

namespace usk::gdb {
namespace {

std::string xml_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c >= 0x20 && c < 0x7f ? c : '?';
    }
  }
  return out;
}

}  // namespace

void GdbServer::query(std::string_view p) {
  if (take(p, "Supported")) {
    knows_exec_ = p.find("exec-events+") != p.npos;
    knows_no_resumed_ = p.find("no-resumed+") != p.npos;
    session_->stop_at_exec(knows_exec_);
    return reply(fmt::format(
        "PacketSize={:x};QStartNoAckMode+;QPassSignals+;swbreak+;hwbreak+;vContSupported+;"
        "no-resumed+;qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+;"
        "qXfer:threads:read+;qXfer:siginfo:read+{}",
        kMaxPacket, knows_exec_ ? ";exec-events+" : ""));
  }
  if (take(p, "Xfer:")) return transfer(p);
  if (p == "fThreadInfo") return thread_list();
  if (p == "sThreadInfo") return reply("l");
  if (p == "C") {
    Task* t = current();
    return reply(t ? fmt::format("QC{:x}", t->pid->root_nr()) : "");
  }
  if (take(p, "ThreadExtraInfo,")) {
    const auto tid = take_number(p);
    Task* t = tid ? session_->find(int(*tid)) : nullptr;
    if (!t) return reply_error(Errno(ESRCH));
    const std::string name = t->name();
    return reply(to_hex(std::as_bytes(std::span(name))));
  }
  if (p == "Attached" || take(p, "Attached:")) return reply("1");
  if (take(p, "Symbol:")) return reply("OK");
  reply("");
}

void GdbServer::set(std::string_view p) {
  if (p == "StartNoAckMode") {
    reply("OK");
    acks_ = false;
    return;
  }
  if (!take(p, "PassSignals:")) return reply("");
  SignalSet passed = 0;
  while (!p.empty()) {
    const auto n = take_number(p);
    if (!n || (!p.empty() && !take(p, ";"))) return reply_error(Errno(EINVAL));
    if (const int s = *n < 256 ? host_signal(int(*n)) : 0) passed |= signal_bit(s);
  }
  session_->pass_signals(passed);
  reply("OK");
}

void GdbServer::verbose(std::string_view p) {
  if (p == "Cont?") return reply("vCont;c;C;s;S");
  if (take(p, "Cont;")) return resume(p);
  if (take(p, "Kill;")) {
    session_->kill();
    done_ = true;
    return reply("OK");
  }
  if (take(p, "File:")) return file_request(p);
  reply("");
}

// vCont: for each thread the first action that names it, or all.
void GdbServer::resume(std::string_view p) {
  using How = DebugSession::Action::How;
  struct Choice {
    int tid = 0;  // 0: all.
    DebugSession::Action action;
  };
  constexpr size_t kMost = 4096;
  std::vector<Choice> choices;
  while (!p.empty()) {
    Choice c;
    const char what = p[0];
    p.remove_prefix(1);
    if (what != 'c' && what != 'C' && what != 's' && what != 'S') return reply_error(Errno(EINVAL));
    c.action.how = what == 'c' || what == 'C' ? How::kRun : How::kStep;
    if (what == 'C' || what == 'S') {
      const auto n = take_number(p);
      if (!n || *n > 255) return reply_error(Errno(EINVAL));
      c.action.signal = host_signal(int(*n));
    }
    if (take(p, ":") && !take(p, "-1")) {
      const auto tid = take_number(p);
      if (!tid) return reply_error(Errno(EINVAL));
      c.tid = int(*tid);
    }
    if (!p.empty() && !take(p, ";")) return reply_error(Errno(EINVAL));
    choices.push_back(c);
    if (choices.size() > kMost) return reply_error(Errno(E2BIG));
  }
  waits_ = true;
  table_name_.clear();
  session_->resume([&](Task& t) -> DebugSession::Action {
    for (const Choice& c : choices) {
      if (c.tid == 0 || c.tid == t.pid->root_nr()) return c.action;
    }
    return {How::kHold, 0};
  });
}

void GdbServer::thread_list() {
  std::string out;
  for (Task* t : session_->threads()) {
    if (out.size() + 16 > kMaxPacket) break;  // qXfer:threads has them all.
    out += fmt::format("{}{:x}", out.empty() ? "m" : ",", t->pid->root_nr());
  }
  reply(out.empty() ? "l" : out);
}

std::string GdbServer::thread_table() {
  std::string out = "<?xml version=\"1.0\"?><threads>";
  for (Task* t : session_->threads()) {
    out += fmt::format("<thread id=\"{:x}\" name=\"{}\"/>", t->pid->root_nr(), xml_text(t->name()));
  }
  return out + "</threads>";
}

std::string GdbServer::auxv() {
  Task* t = current();
  if (!t) return {};
  const auto bytes = std::as_bytes(std::span(t->mm->auxv));
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// OBJECT:read:ANNEX:OFFSET,LENGTH
void GdbServer::transfer(std::string_view p) {
  const size_t object_end = p.find(':');
  const std::string object(p.substr(0, object_end));
  p.remove_prefix(std::min(object.size(), p.size()));
  if (!take(p, ":read:")) return reply("");
  const size_t annex_end = p.find(':');
  if (annex_end == p.npos) return reply_error(Errno(EINVAL));
  const std::string annex(p.substr(0, annex_end));
  p.remove_prefix(annex_end + 1);
  const auto offset = take_number(p);
  const bool comma = take(p, ",");
  const auto length = take_number(p);
  if (!offset || !comma || !length || !p.empty()) return reply_error(Errno(EINVAL));
  if (*offset == 0 || table_name_ != object) {
    if (object == "features" && annex == "target.xml") {
      table_ = target_description();
    } else if (object == "auxv") {
      table_ = auxv();
    } else if (object == "threads") {
      table_ = thread_table();
    } else if (object == "siginfo") {
      Task* t = current();
      const auto info = t ? session_->signal_info(*t) : std::nullopt;
      if (!info) return reply_error(Errno(EINVAL));
      table_.assign(reinterpret_cast<const char*>(&*info), sizeof *info);
    } else if (object == "exec-file") {
      Task* t = current();
      table_ = t ? exec_path(t->pid->root_nr()) : "";
    } else {
      return object == "features" ? reply("E00") : reply("");
    }
    table_name_ = object;
  }
  const auto rest = std::string_view(table_).substr(std::min<size_t>(*offset, table_.size()));
  const size_t most = std::min<uint64_t>(*length, kMaxPacket - 1);
  size_t taken;
  const std::string data = escape(rest, most, taken);
  reply((taken < rest.size() ? "m" : "l") + data);
}

}  // namespace usk::gdb
