#include "gdb/server.h"

#include <elf.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include "base/log.h"
#include "fs/vfs/dentry.h"
#include "kernel/kernel.h"
#include "kernel/ptrace/registers.h"

namespace usk::gdb {

Result<std::unique_ptr<GdbServer>> GdbServer::attach(Ref<ThreadGroup> process,
                                                     std::function<void()> settled) {
  auto session = TRY(DebugSession::attach(std::move(process), std::move(settled)));
  return std::unique_ptr<GdbServer>(new GdbServer(std::move(session)));
}

void GdbServer::receive(std::string_view bytes) {
  using Kind = PacketReader::Event::Kind;
  in_.feed(bytes);
  while (!done_) {
    auto e = in_.next();
    if (!e) break;
    switch (e->kind) {
      case Kind::kInterrupt: session_->interrupt(); break;
      case Kind::kRefused: out_ += last_; break;
      case Kind::kDamaged:
        if (acks_) out_ += '-';
        break;
      case Kind::kPacket:
        if (acks_) out_ += '+';
        handle(e->data);
        break;
    }
  }
  if (in_.is_overrun()) done_ = true;
}

bool GdbServer::can_leave() {
  done_ = true;
  session_->interrupt();
  return session_->is_settled();
}

void GdbServer::reply(std::string_view data) {
  last_ = make_packet(data);
  out_ += last_;
}

void GdbServer::reply_error(Errno code) { reply(fmt::format("E{:02x}", int(code) & 0xff)); }

void GdbServer::reply_to(const Result<void>& r) {
  if (r) return reply("OK");
  reply_error(r.error());
}

void GdbServer::handle(std::string_view p) {
  if (p.empty()) return reply("");
  // Nothing may be asked while the process runs.
  if (waits_) {
    LOG_DEBUG("gdb asks while the process runs");
    return;
  }
  const char name = p[0];
  p.remove_prefix(1);
  switch (name) {
    case '?': waits_ = true; return tell_stop();
    case 'q': return query(p);
    case 'Q': return set(p);
    case 'v': return verbose(p);
    case 'H': return choose_thread(p);
    case 'T': return is_thread_alive(p);
    case 'g': return read_registers();
    case 'G': return write_registers(p);
    case 'p': return read_register(p);
    case 'P': return write_register(p);
    case 'm': return read_memory(p);
    case 'M': return write_memory(p, /*binary=*/false);
    case 'X': return write_memory(p, /*binary=*/true);
    case 'Z': return insert(p);
    case 'z': return remove(p);
    case 'D': done_ = true; return reply("OK");
    case 'k': done_ = true; return session_->kill();
    default: return reply("");
  }
}

void GdbServer::settled() {
  if (!done_ && waits_) tell_stop();
}

void GdbServer::tell_stop() {
  auto stop = session_->take_stop();
  if (!stop) {
    // Asked once more, it stays as it was.
    if (!session_->is_settled() || last_stop_.tid == 0) return;
    stop = last_stop_;
  }
  if (stop->what == DebugStop::What::kNoThread && knows_no_resumed_) {
    waits_ = false;
    return reply("N");
  }
  waits_ = false;
  last_stop_ = *stop;
  chosen_ = stop->tid;
  reply(stop_text(*stop));
  if (stop->what == DebugStop::What::kEnded) done_ = true;
}

std::string GdbServer::exec_path(int tid) {
  Task* t = session_->find(tid);
  if (!t || !t->mm->executable) return {};
  return PathText::of(t->mm->executable->path(), t->fs->root()).text;
}

std::string GdbServer::stop_text(const DebugStop& s) {
  using What = DebugStop::What;
  if (s.what == What::kEnded) {
    return WIFSIGNALED(s.status) ? fmt::format("X{:02x}", gdb_signal(WTERMSIG(s.status)))
                                 : fmt::format("W{:02x}", WEXITSTATUS(s.status));
  }
  std::string why;
  int signal = gdb_signal(SIGTRAP);
  switch (s.what) {
    case What::kSignal: signal = gdb_signal(s.signal); break;
    case What::kBreakpoint: why = "swbreak:;"; break;
    case What::kHardware: why = "hwbreak:;"; break;
    case What::kWatch:
      why = fmt::format("{}:{:x};", s.any_access ? "awatch" : "watch", s.address);
      break;
    case What::kExec: {
      const std::string path = exec_path(s.tid);
      why = fmt::format("exec:{};", to_hex(std::as_bytes(std::span(path))));
      break;
    }
    case What::kNoThread: signal = 0; break;
    case What::kEnded: break;
  }
  return fmt::format("T{:02x}{}thread:{:x};", signal, why, s.tid);
}

Task* GdbServer::current() {
  if (Task* t = session_->find(chosen_)) return t;
  const auto all = session_->threads();
  return all.empty() ? nullptr : all[0];
}

void GdbServer::choose_thread(std::string_view p) {
  if (p.empty()) return reply("");
  const bool registers = p[0] == 'g';
  p.remove_prefix(1);
  const bool any = p == "-1" || p == "0";
  const auto tid = any ? 0 : take_number(p);
  if (!tid || (!any && !session_->find(int(*tid)))) return reply_error(Errno(ESRCH));
  if (registers && !any) chosen_ = int(*tid);
  reply("OK");  // Which threads go on is said by vCont.
}

void GdbServer::is_thread_alive(std::string_view p) {
  const auto tid = take_number(p);
  if (tid && session_->find(int(*tid))) return reply("OK");
  reply_error(Errno(ESRCH));
}

Result<RegisterValues> GdbServer::registers(Task& t) {
  RegisterValues v{.general = session_->registers(t), .extended = {}};
  v.extended = TRY(t.cpu->fpu_state());
  return v;
}

Result<void> GdbServer::set_registers(Task& t, const RegisterValues& before,
                                      const RegisterValues& after) {
  TRY(session_->check_writable(t));
  if (after.extended != before.extended) {
    TRY(set_register_set(t, NT_X86_XSTATE, after.extended));
  }
  return session_->set_registers(t, after.general);
}

void GdbServer::read_registers() {
  Task* t = current();
  if (!t) return reply_error(Errno(ESRCH));
  const auto v = registers(*t);
  if (!v) return reply_error(v.error());
  std::string bytes;
  for (size_t i = 0; i < register_count(); i++) bytes += register_bytes(*v, i);
  reply(to_hex(std::as_bytes(std::span(bytes))));
}

void GdbServer::write_registers(std::string_view p) {
  Task* t = current();
  const auto bytes = from_hex(p);
  size_t size = 0;
  for (size_t i = 0; i < register_count(); i++) size += register_size(i);
  if (!t || !bytes || bytes->size() != size) return reply_error(Errno(EINVAL));
  const auto before = registers(*t);
  if (!before) return reply_error(before.error());
  RegisterValues after = *before;
  size_t at = 0;
  for (size_t i = 0; i < register_count(); i++) {
    const std::string_view value = std::string_view(*bytes).substr(at, register_size(i));
    at += value.size();
    // What stays as it was stays out of it: a component in its initial state, too.
    if (register_bytes(*before, i) != value) set_register_bytes(after, i, value);
  }
  reply_to(set_registers(*t, *before, after));
}

void GdbServer::read_register(std::string_view p) {
  Task* t = current();
  const auto number = take_number(p);
  if (!t || !number || *number >= register_count()) return reply_error(Errno(EINVAL));
  const auto v = registers(*t);
  if (!v) return reply_error(v.error());
  const std::string bytes = register_bytes(*v, size_t(*number));
  reply(to_hex(std::as_bytes(std::span(bytes))));
}

void GdbServer::write_register(std::string_view p) {
  Task* t = current();
  const auto number = take_number(p);
  const bool given = number && take(p, "=");
  const auto value = from_hex(p);
  if (!t || !given || *number >= register_count() || !value ||
      value->size() != register_size(size_t(*number))) {
    return reply_error(Errno(EINVAL));
  }
  const auto before = registers(*t);
  if (!before) return reply_error(before.error());
  RegisterValues after = *before;
  if (!set_register_bytes(after, size_t(*number), *value)) return reply_error(Errno(EIO));
  reply_to(set_registers(*t, *before, after));
}

void GdbServer::read_memory(std::string_view p) {
  const auto addr = take_number(p);
  const bool comma = take(p, ",");
  const auto length = take_number(p);
  if (!addr || !comma || !length || !p.empty()) return reply_error(Errno(EINVAL));
  std::vector<std::byte> bytes(std::min<uint64_t>(*length, kMaxPacket / 2));
  const auto n = session_->read(*addr, bytes);
  if (!n || (*n == 0 && !bytes.empty())) return reply_error(n ? Errno(EFAULT) : n.error());
  reply(to_hex(std::span(bytes).first(*n)));
}

void GdbServer::write_memory(std::string_view p, bool binary) {
  const auto addr = take_number(p);
  const bool comma = take(p, ",");
  const auto length = take_number(p);
  const bool colon = take(p, ":");
  const auto bytes = binary ? std::optional(std::string(p)) : from_hex(p);
  if (!addr || !comma || !length || !colon || !bytes || bytes->size() != *length) {
    return reply_error(Errno(EINVAL));
  }
  if (bytes->empty()) return reply("OK");  // Asks whether X is known.
  const auto n = session_->write(*addr, std::as_bytes(std::span(*bytes)));
  if (!n) return reply_error(n.error());
  reply_to(*n == bytes->size() ? Result<void>() : Err(EFAULT));
}

namespace {

// Behind Z or z: kind of point, address, length.
struct Point {
  uint64_t type, addr, length;
};

std::optional<Point> take_point(std::string_view p) {
  const auto type = take_number(p);
  const bool first = take(p, ",");
  const auto addr = take_number(p);
  const bool second = take(p, ",");
  const auto length = take_number(p);
  if (!type || !first || !addr || !second || !length || !p.empty()) return std::nullopt;
  return Point{*type, *addr, *length};
}

std::optional<DebugSession::Access> access_of(uint64_t type) {
  using Access = DebugSession::Access;
  switch (type) {
    case 1: return Access::kExecute;
    case 2: return Access::kWrite;
    case 4: return Access::kAny;
    default: return std::nullopt;  // The processor cannot tell reads alone.
  }
}

}  // namespace

void GdbServer::insert(std::string_view p) {
  const auto point = take_point(p);
  if (!point) return reply_error(Errno(EINVAL));
  if (point->type == 0) return reply_to(session_->plant(point->addr));
  const auto access = access_of(point->type);
  if (!access) return reply("");
  reply_to(session_->watch(point->addr, point->length, *access));
}

void GdbServer::remove(std::string_view p) {
  const auto point = take_point(p);
  if (!point) return reply_error(Errno(EINVAL));
  if (point->type == 0) {
    session_->unplant(point->addr);
    return reply("OK");
  }
  const auto access = access_of(point->type);
  if (!access) return reply("");
  session_->unwatch(point->addr, point->length, *access);
  reply("OK");
}

}  // namespace usk::gdb
