// send(2), recv(2), sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2).
#include "fs/vfs/saving.h"
#include "kernel/signal/send.h"
#include "kernel/wait/block_on.h"
#include "syscalls/socket_args.h"
#include "syscalls/time_args.h"

namespace usk::sys {
namespace {

constexpr uint32_t kMaxMessages = 1024;  // Linux: UIO_MAXIOV

// How the parts of a message that carry objects are saved.
struct SavedControl {
  std::vector<Ref<File>> files;
  std::optional<SocketCreds> creds;
  std::vector<std::tuple<int, int, std::string>> others;
  USK_FIELDS(files, creds, others)

  SavedControl() = default;
  explicit SavedControl(const ControlData& c) : files(c.files), creds(c.creds) {
    for (const auto& o : c.others) others.emplace_back(o.level, o.type, o.bytes);
  }
  ControlData data() const {
    ControlData c;
    c.files = files;
    c.creds = creds;
    for (const auto& [level, type, bytes] : others) c.others.push_back({level, type, bytes});
    return c;
  }
  bool is_valid() const {
    return std::ranges::all_of(files, [](const Ref<File>& file) { return bool(file); });
  }
};

// One message of a call, kept while it waits.
struct Message {
  bool ready = false;  // The guest's structures were read.
  UserBuffers buffers;
  SocketAddress to;
  ControlData control;
  int64_t done = 0;
  // Received so far, with MSG_WAITALL.
  Socket::Received got;

  template <class A>
  void fields(A& ar) {
    std::vector<std::pair<uint64_t, uint64_t>> parts;
    for (const iovec& v : buffers.parts()) parts.emplace_back(uint64_t(v.iov_base), v.iov_len);
    SavedControl sent(control), received(got.control);
    ar.all("ready, buffers, to, control, done, got.bytes, got.flags, got.from, got.control", ready,
           parts, to, sent, done, got.bytes, got.flags, got.from, received);
    if constexpr (A::kLoading) {
      if (!ar.failed() && !load(parts, sent, received)) ar.fail("a message that cannot be");
    }
  }

 private:
  bool load(const std::vector<std::pair<uint64_t, uint64_t>>& parts, const SavedControl& sent,
            const SavedControl& received) {
    constexpr uint64_t kMost = 0x7ffff000;  // MAX_RW_COUNT
    std::vector<iovec> all;
    uint64_t total = 0;
    for (auto [addr, length] : parts) {
      if (length > kMost - total) return false;
      total += length;
      all.push_back({reinterpret_cast<void*>(addr), length});
    }
    if (done < 0 || uint64_t(done) > total || !sent.is_valid() || !received.is_valid())
      return false;
    buffers = UserBuffers(std::move(all));
    control = sent.data();
    got.control = received.data();
    return true;
  }
};
USK_SAVED(Message, "syscalls/message")

struct Messages {
  Message current;
  uint32_t finished = 0;
  USK_FIELDS(current, finished)
};
USK_SAVED(Messages, "syscalls/messages")

uint64_t address_of(const void* p) { return reinterpret_cast<uint64_t>(p); }

SyscallResult with_sigpipe(Task& t, Socket& s, uint32_t flags, SyscallResult r) {
  if (!r && r.error() == Errno(EPIPE) && s.raises_sigpipe() && !(flags & MSG_NOSIGNAL)) {
    Lock lock(task_mutex);
    (void)send_signal(t, user_siginfo(SIGPIPE, SI_USER, t.tgid(), t.creds->uid),
                      SignalScope::kTask);
  }
  return r;
}

// Blocks with SO_SNDTIMEO or SO_RCVTIMEO; what is done already is what a signal returns.
template <class Op>
SyscallResult transfer(Task& t, Socket& s, PollMask events, uint32_t flags, int64_t timeout,
                       Op op) {
  const Deadline until = t.deadline(timeout ? std::optional(timeout) : std::nullopt);
  const bool nonblocking = s.nonblocking() || (flags & (MSG_DONTWAIT | MSG_ERRQUEUE));
  return block_on(t, s, events, op, nonblocking, until,
                  timeout ? OnSignal::kInterrupt : OnSignal::kRestartSys);
}

// Sends all of a message: a stream takes it in parts.
SyscallResult send_message(Task& t, Socket& s, Message& m, uint32_t flags) {
  TaskCaller caller(t);
  TaskSocketNames names(t);
  const size_t total = m.buffers.total();
  for (;;) {
    auto op = [&]() -> Result<size_t> {
      GuestIn data(t.mem(), m.buffers, size_t(m.done));
      Socket::SendArgs args{data, m.to, m.done ? ControlData() : m.control, int(flags)};
      return s.send(caller, names, args);
    };
    auto r = transfer(t, s, POLLOUT, flags, s.send_timeout(), op);
    auto* n = r ? std::get_if<int64_t>(&r->v_) : nullptr;
    if (!n) {
      if (!r && m.done > 0) return m.done;
      return with_sigpipe(t, s, flags, std::move(r));
    }
    m.done += *n;
    if (s.type() != SOCK_STREAM || *n == 0 || size_t(m.done) >= total) return m.done;
  }
}

// Receives a message; with MSG_WAITALL a stream's whole buffer.
SyscallResult receive_message(Task& t, Socket& s, Message& m, uint32_t flags) {
  TaskCaller caller(t);
  const size_t total = m.buffers.total();
  const bool all = (flags & MSG_WAITALL) && s.type() == SOCK_STREAM && !(flags & MSG_PEEK);
  for (;;) {
    Socket::Received got;
    auto op = [&]() -> Result<size_t> {
      GuestOut data(t.mem(), m.buffers, size_t(m.done));
      got = TRY(s.receive(caller, data, int(flags)));
      return got.bytes;
    };
    auto r = transfer(t, s, POLLIN, flags, s.receive_timeout(), op);
    auto* n = r ? std::get_if<int64_t>(&r->v_) : nullptr;
    if (!n) {
      if (!r && m.done > 0) return m.done;
      return r;
    }
    const bool has_files = !got.control.files.empty();
    if (m.done == 0 || has_files) m.got = std::move(got);
    m.done += *n;
    if (!all || *n == 0 || has_files || size_t(m.done) >= total) return m.done;
  }
}

bool is_finished(const SyscallResult& r) { return r && std::holds_alternative<int64_t>(r->v_); }

Result<void> read_send_header(Task& t, UserPtr<const msghdr> p, Message& m) {
  if (m.ready) return {};
  const msghdr h = TRY(t.mem().get(p));
  UserMemory mem = t.mem();
  m = {};
  m.buffers = TRY(get_iovecs(mem, {address_of(h.msg_iov), h.msg_iovlen}));
  if (h.msg_name) m.to = TRY(get_address(t, address_of(h.msg_name), int32_t(h.msg_namelen)));
  m.control = TRY(get_control(t, address_of(h.msg_control), h.msg_controllen));
  m.ready = true;
  return {};
}

Result<void> read_receive_header(Task& t, UserPtr<msghdr> p, Message& m) {
  if (m.ready) return {};
  const msghdr h = TRY(t.mem().get(p));
  UserMemory mem = t.mem();
  m = {};
  m.buffers = TRY(get_iovecs(mem, {address_of(h.msg_iov), h.msg_iovlen}));
  m.ready = true;
  return {};
}

// What recvmsg(2) tells beside the data: the sender, control messages, flags.
Result<void> write_receive_header(Task& t, UserPtr<msghdr> p, Message& m, uint32_t flags) {
  const msghdr h = TRY(t.mem().get(p));
  int out_flags = m.got.flags | int(flags & MSG_CMSG_CLOEXEC);
  if (h.msg_name) {
    TRY(put_address(t, m.got.from, address_of(h.msg_name),
                    {p.addr + offsetof(msghdr, msg_namelen)}));
  }
  const uint64_t written = TRY(put_control(t, std::move(m.got.control), address_of(h.msg_control),
                                           h.msg_controllen, flags & MSG_CMSG_CLOEXEC, out_flags));
  TRY(t.mem().put(UserPtr<uint64_t>{p.addr + offsetof(msghdr, msg_controllen)}, written));
  return t.mem().put(UserPtr<int32_t>{p.addr + offsetof(msghdr, msg_flags)}, out_flags);
}

SyscallResult receive_one(Task& t, Socket& s, UserPtr<msghdr> p, Message& m, uint32_t flags) {
  TRY(read_receive_header(t, p, m));
  auto r = receive_message(t, s, m, flags);
  if (is_finished(r)) TRY(write_receive_header(t, p, m, flags));
  return r;
}

UserPtr<msghdr> header_of(UserPtr<mmsghdr> messages, uint32_t i) {
  return {(messages + i).addr + offsetof(mmsghdr, msg_hdr)};
}

// Runs `one` for message after message. One that fails or has to wait ends the call with those
// before it, if there are any; waiting goes on only where `keeps_waiting`.
template <class One>
SyscallResult for_messages(Task& t, UserPtr<mmsghdr> messages, uint32_t count, bool keeps_waiting,
                           One one) {
  Messages& all = t.extra<Messages>();
  count = std::min(count, kMaxMessages);
  while (all.finished < count) {
    auto r = one(header_of(messages, all.finished), all.current, all.finished);
    if (!is_finished(r)) {
      const bool waits = r && keeps_waiting;
      if (all.finished > 0 && !waits) return all.finished;
      t.frame.progress = all.finished;
      return r;
    }
    const uint64_t length = (messages + all.finished).addr + offsetof(mmsghdr, msg_len);
    TRY(t.mem().put(UserPtr<uint32_t>{length}, uint32_t(std::get<int64_t>(r->v_))));
    all.current = {};
    ++all.finished;
  }
  return all.finished;
}

}  // namespace

SyscallResult sendto(Task& t, Fd fd, UserIn buf, uint32_t flags, UserPtr<void> address,
                     int32_t size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  Message& m = t.extra<Message>();
  if (!m.ready) {
    m.buffers = UserBuffers(buf.addr, buf.len);
    if (address) m.to = TRY(get_address(t, address.addr, size));
    m.ready = true;
  }
  auto r = send_message(t, *s, m, flags);
  t.frame.progress = m.done;
  return r;
}

SyscallResult recvfrom(Task& t, Fd fd, UserOut buf, uint32_t flags, UserPtr<void> address,
                       UserPtr<int32_t> size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  Message& m = t.extra<Message>();
  m.buffers = UserBuffers(buf.addr, buf.len);
  auto r = receive_message(t, *s, m, flags);
  t.frame.progress = m.done;
  // Files that came along have no place to go: they are closed with the message.
  if (is_finished(r) && address) TRY(put_address(t, m.got.from, address.addr, size));
  return r;
}

SyscallResult sendmsg(Task& t, Fd fd, UserPtr<const msghdr> message, uint32_t flags) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  Message& m = t.extra<Message>();
  TRY(read_send_header(t, message, m));
  auto r = send_message(t, *s, m, flags);
  t.frame.progress = m.done;
  return r;
}

SyscallResult recvmsg(Task& t, Fd fd, UserPtr<msghdr> message, uint32_t flags) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  Message& m = t.extra<Message>();
  auto r = receive_one(t, *s, message, m, flags);
  t.frame.progress = m.done;
  return r;
}

SyscallResult sendmmsg(Task& t, Fd fd, UserPtr<mmsghdr> messages, uint32_t count, uint32_t flags) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  auto one = [&](UserPtr<msghdr> p, Message& m, uint32_t) -> SyscallResult {
    TRY(read_send_header(t, {p.addr}, m));
    return send_message(t, *s, m, flags);
  };
  return for_messages(t, messages, count, true, one);
}

SyscallResult recvmmsg(Task& t, Fd fd, UserPtr<mmsghdr> messages, uint32_t count, uint32_t flags,
                       UserPtr<KernelTimespec> timeout) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  const auto ns = t.frame.first ? TRY(get_timeout(t, {timeout.addr})) : std::nullopt;
  if (ns) (void)t.deadline(*ns);  // Looked at between messages alone (Linux too).
  auto one = [&](UserPtr<msghdr> p, Message& m, uint32_t index) -> SyscallResult {
    const bool no_wait = index > 0 && (flags & MSG_WAITFORONE);
    if (index > 0 && t.timed_out()) return Err(EAGAIN);
    return receive_one(t, *s, p, m, flags | (no_wait ? MSG_DONTWAIT : 0));
  };
  return for_messages(t, messages, count, true, one);
}

}  // namespace usk::sys
