// socket(2), bind(2), listen(2), accept(2), connect(2), shutdown(2), getsockopt(2) and their kin.
#include <fmt/format.h>

#include "kernel/wait/block_on.h"
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

Result<void> check_family(int32_t family) {
  if (family == AF_UNIX) return {};
  if (family < 0 || family >= AF_MAX) return Err(EAFNOSUPPORT);
  note_unsupported(fmt::format("socket family {}", family));
  return Err(EAFNOSUPPORT);
}

// A wait with SO_RCVTIMEO or SO_SNDTIMEO ends in EINTR, one without is restarted.
template <class Op>
SyscallResult wait_socket(Task& t, Socket& s, PollMask events, int64_t timeout, Op op) {
  const Deadline until = t.deadline(timeout ? std::optional(timeout) : std::nullopt);
  return block_on(t, s, events, op, s.nonblocking(), until,
                  timeout ? OnSignal::kInterrupt : OnSignal::kRestartSys);
}

}  // namespace

SyscallResult socket(Task& t, int32_t family, uint32_t type, int32_t protocol) {
  const int kind = TRY(socket_type(type));
  TRY(check_family(family));
  TaskCaller caller(t);
  auto s = TRY(UnixSocket::make(caller, UnixNamespace::of(t.ns.net->id()), kind, protocol,
                                int(type & kTypeFlags)));
  return TRY(t.add_fd(std::move(s), type & SOCK_CLOEXEC));
}

SyscallResult socketpair(Task& t, int32_t family, uint32_t type, int32_t protocol,
                         UserPtr<int32_t> fds) {
  const int kind = TRY(socket_type(type));
  TRY(check_family(family));
  if (family == AF_UNIX) TRY(ask(Category::kNetBind, "!unnamed"));
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
  return wait_socket(t, *s, POLLOUT, s->send_timeout(), op);
}

SyscallResult accept4(Task& t, Fd fd, UserPtr<void> address, UserPtr<int32_t> size,
                      CloexecFlags flags) {
  TRY(flags.only(kTypeFlags));
  Ref<Socket> s = TRY(get_socket(t, fd));
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
