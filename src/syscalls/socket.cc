// socket(2), bind(2), listen(2), accept(2), connect(2), shutdown(2), getsockopt(2) and their kin.
#include <fmt/format.h>

#include "kernel/task/network_namespace.h"
#include "kernel/wait/block_on.h"
#include "net/inet/make_socket.h"
#include "net/netlink/netlink_socket.h"
#include "net/unix/unix_socket.h"
#include "syscalls/fd_pair.h"
#include "syscalls/socket_args.h"

namespace usk::sys {
namespace {

constexpr uint32_t kTypeFlags = SOCK_CLOEXEC | SOCK_NONBLOCK;
static_assert(SOCK_CLOEXEC == O_CLOEXEC && SOCK_NONBLOCK == O_NONBLOCK);
// The longest option value that any socket has a use for.
constexpr int32_t kMaxOption = 64 << 10;

Result<int> socket_type(uint32_t type) {
  if (type & ~(kTypeFlags | 0xf)) return Err(EINVAL);
  return int(type & 0xf);
}

bool is_inet(int32_t family) { return family == AF_INET || family == AF_INET6; }

Result<Ref<Socket>> make_socket(Task& t, int32_t family, int type, int32_t protocol, int flags) {
  constexpr int kTypes = 11;  // Linux: SOCK_MAX
  if (family >= 0 && family < AF_MAX && type >= kTypes) return Err(EINVAL);
  TaskCaller caller(t);
  if (family == AF_UNIX) {
    return UnixSocket::make(caller, UnixNamespace::of(t.ns.net->id()), type, protocol, flags);
  }
  if (is_inet(family)) {
    Ref<InetNetwork> network = network_of(*t.ns.net);
    if (!network) return Err(EAFNOSUPPORT);
    auto made = make_inet_socket(caller, std::move(network), family, type, protocol, flags);
    if (failed_with(made, ESOCKTNOSUPPORT) && type == SOCK_RAW) {
      note_unsupported("SOCK_RAW of the internet");
    }
    return made;
  }
  if (family == AF_NETLINK) {
    Ref<InetNetwork> network = network_of(*t.ns.net);
    if (!network) return Err(EAFNOSUPPORT);
    auto made = NetlinkSocket::make(caller, std::move(network), UnixNamespace::of(t.ns.net->id()),
                                    type, protocol, flags);
    if (failed_with(made, EPROTONOSUPPORT)) {
      note_unsupported(fmt::format("netlink protocol {}", protocol));
    }
    return made;
  }
  if (family >= 0 && family < AF_MAX) note_unsupported(fmt::format("socket family {}", family));
  return Err(EAFNOSUPPORT);
}

// A wait with SO_RCVTIMEO or SO_SNDTIMEO ends in EINTR, one without is restarted.
template <class Op>
SyscallResult wait_socket(Task& t, Socket& s, PollMask events, int64_t timeout, Op op) {
  const Deadline until = t.deadline(timeout ? std::optional(timeout) : std::nullopt);
  return block_on(t, s, events, op, s.nonblocking(), until,
                  timeout ? OnSignal::kInterrupt : OnSignal::kRestartSys);
}

// Whether a descriptor is free. Counted only where the table is as large as it may be.
bool has_free_descriptor(Task& t) {
  const uint64_t most = std::min<uint64_t>(t.limit(RLIMIT_NOFILE), INT32_MAX);
  if (t.fds->size() < most) return true;
  return most > 0 && t.fds->open_fds(0, int(most) - 1).size() < most;
}

}  // namespace

SyscallResult socket(Task& t, int32_t family, uint32_t type, int32_t protocol) {
  const int kind = TRY(socket_type(type));
  auto s = TRY(make_socket(t, family, kind, protocol, int(type & kTypeFlags)));
  return TRY(t.add_fd(std::move(s), type & SOCK_CLOEXEC));
}

SyscallResult socketpair(Task& t, int32_t family, uint32_t type, int32_t protocol,
                         UserPtr<int32_t> fds) {
  const int kind = TRY(socket_type(type));
  if (family != AF_UNIX) {
    (void)TRY(make_socket(t, family, kind, protocol, 0));
    return Err(EOPNOTSUPP);
  }
  TRY(ask(Category::kNetBind, "!unnamed"));
  TaskCaller caller(t);
  auto [a, b] = TRY(UnixSocket::make_pair(caller, UnixNamespace::of(t.ns.net->id()), kind, protocol,
                                          int(type & kTypeFlags)));
  return install_pair(t, a, b, type & SOCK_CLOEXEC, fds);
}

SyscallResult bind(Task& t, Fd fd, UserPtr<void> address, int32_t size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  TaskCaller caller(t);
  TaskSocketNames names(t);
  TRY(s->bind(caller, names, TRY(get_address(t, address.addr, size))));
  return 0;
}

SyscallResult listen(Task& t, Fd fd, int32_t backlog) {
  TaskCaller caller(t);
  TRY(TRY(get_socket(t, fd))->listen(caller, backlog));
  return 0;
}

SyscallResult connect(Task& t, Fd fd, UserPtr<void> address, int32_t size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  const SocketAddress to = TRY(get_address(t, address.addr, size));
  TaskCaller caller(t);
  TaskSocketNames names(t);
  auto op = [&]() -> Result<int> {
    TRY(s->connect(caller, names, to));
    return 0;
  };
  auto r = wait_socket(t, *s, POLLOUT, s->send_timeout(), op);
  // Linux: a connection that SO_SNDTIMEO has no more time for goes on being made.
  if (!r && r.error() == Errno(EAGAIN) && is_inet(s->domain())) return Err(EINPROGRESS);
  return r;
}

SyscallResult accept4(Task& t, Fd fd, UserPtr<void> address, UserPtr<int32_t> size,
                      CloexecFlags flags) {
  TRY(flags.only(kTypeFlags));
  Ref<Socket> s = TRY(get_socket(t, fd));
  if (!has_free_descriptor(t)) return Err(EMFILE);  // The connection waits for a better time.
  TaskCaller caller(t);
  Ref<Socket> accepted;
  auto op = [&]() -> Result<int> {
    accepted = TRY(s->accept(caller, int(flags.bits)));
    return 0;
  };
  auto r = wait_socket(t, *s, POLLIN, s->receive_timeout(), op);
  if (!accepted) return r;
  if (address) {
    const SocketAddress peer = TRY(accepted->peer_address());
    TRY(put_address(t, peer, address.addr, size));
  }
  return TRY(t.add_fd(std::move(accepted), flags.has(SOCK_CLOEXEC)));
}

SyscallResult accept(Task& t, Fd fd, UserPtr<void> address, UserPtr<int32_t> size) {
  return accept4(t, fd, address, size, {0});
}

SyscallResult shutdown(Task& t, Fd fd, int32_t how) {
  TRY(TRY(get_socket(t, fd))->shutdown(how));
  return 0;
}

SyscallResult getsockname(Task& t, Fd fd, UserPtr<void> address, UserPtr<int32_t> size) {
  const SocketAddress name = TRY(TRY(get_socket(t, fd))->local_address());
  TRY(put_address(t, name, address.addr, size));
  return 0;
}

SyscallResult getpeername(Task& t, Fd fd, UserPtr<void> address, UserPtr<int32_t> size) {
  const SocketAddress name = TRY(TRY(get_socket(t, fd))->peer_address());
  TRY(put_address(t, name, address.addr, size));
  return 0;
}

SyscallResult getsockopt(Task& t, Fd fd, int32_t level, int32_t name, UserPtr<void> value,
                         UserPtr<int32_t> size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  const int32_t room = TRY(t.mem().get(size));
  if (room < 0) return Err(EINVAL);
  TaskCaller caller(t);
  const std::string got = TRY(s->get_option(caller, level, name, size_t(room)));
  TRY(t.mem().copy_out(value.addr, std::as_bytes(std::span(got))));
  TRY(t.mem().put(size, int32_t(got.size())));
  return 0;
}

SyscallResult setsockopt(Task& t, Fd fd, int32_t level, int32_t name, UserPtr<void> value,
                         int32_t size) {
  Ref<Socket> s = TRY(get_socket(t, fd));
  if (size < 0 || size > kMaxOption) return Err(EINVAL);
  std::string bytes(size_t(size), '\0');
  TRY(t.mem().copy_in(std::as_writable_bytes(std::span(bytes)), value.addr));
  TaskCaller caller(t);
  TRY(s->set_option(caller, level, name, bytes));
  return 0;
}

}  // namespace usk::sys
