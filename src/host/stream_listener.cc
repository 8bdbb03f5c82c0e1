#include "host/stream_listener.h"

#include <errno.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <memory>

namespace usk::host {
namespace {

constexpr int kKind = SOCK_STREAM | SOCK_CLOEXEC;

std::unexpected<Failure> cannot_listen(const std::string& where) {
  return fail(fmt::format("cannot listen at {}: {}", where, strerror(errno)));
}

uint16_t port_of(int socket) {
  sockaddr_storage a{};
  socklen_t size = sizeof a;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&a), &size) != 0) return 0;
  return ntohs(a.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(a).sin6_port
                                       : reinterpret_cast<sockaddr_in&>(a).sin_port);
}

}  // namespace

StreamListener::StreamListener(StreamListener&& o) noexcept
    : fd_(std::move(o.fd_)),
      address_(std::move(o.address_)),
      path_(std::exchange(o.path_, {})),
      directory_(std::exchange(o.directory_, {})) {}

StreamListener::~StreamListener() {
  if (!path_.empty()) ::unlink(path_.c_str());
  if (!directory_.empty()) ::rmdir(directory_.c_str());
}

OrFailure<StreamListener> StreamListener::tcp(const std::string& name, const std::string& port) {
  const std::string host = name.empty() ? "127.0.0.1" : name;
  const std::string where = host + ":" + port;
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | AI_PASSIVE;
  if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found)) {
    return fail(fmt::format("cannot listen at {}: {}", where, gai_strerror(code)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> list(found, ::freeaddrinfo);
  StreamListener l;
  l.fd_ = UniqueFd(::socket(list->ai_family, kKind, 0));
  const int yes = 1;
  if (!l.fd_ || ::setsockopt(l.fd(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(l.fd(), list->ai_addr, list->ai_addrlen) != 0 || ::listen(l.fd(), 1) != 0) {
    return cannot_listen(where);
  }
  l.address_ = fmt::format("{}:{}", host, port_of(l.fd()));
  return l;
}

OrFailure<StreamListener> StreamListener::local(const std::string& path) {
  StreamListener l;
  std::string where = path;
  if (where.empty()) {
    const char* base = ::getenv("XDG_RUNTIME_DIR");
    std::string directory = std::string(base && *base ? base : "/tmp") + "/usk-gdb.XXXXXX";
    if (!::mkdtemp(directory.data())) return cannot_listen(directory);
    l.directory_ = directory;
    where = directory + "/socket";
  }
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  if (where.size() >= sizeof a.sun_path) {
    return fail(fmt::format("cannot listen at {}: the path is too long", where));
  }
  memcpy(a.sun_path, where.c_str(), where.size() + 1);
  l.fd_ = UniqueFd(::socket(AF_UNIX, kKind, 0));
  if (!l.fd_ || ::fchmod(l.fd(), 0600) != 0 ||
      ::bind(l.fd(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) {
    return cannot_listen(where);
  }
  l.path_ = where;
  if (::listen(l.fd(), 1) != 0) return cannot_listen(where);
  l.address_ = where;
  return l;
}

Result<UniqueFd> StreamListener::accept() {
  UniqueFd s(::accept4(fd(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!s) return Err(errno);
  // Packets are small and each is waited for. Other kinds of sockets do not know this.
  const int yes = 1;
  (void)::setsockopt(s.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  return s;
}

}  // namespace usk::host
