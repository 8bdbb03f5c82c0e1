// Sockets of AF_INET and AF_INET6 on the loopback device, for guest tests.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tests/guest/harness.h"

namespace inet {

using guest::describe_errno;

inline sockaddr_in v4(uint16_t port, const char* address = "127.0.0.1") {
  sockaddr_in a = {};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  inet_pton(AF_INET, address, &a.sin_addr);
  return a;
}

inline sockaddr_in6 v6(uint16_t port, const char* address = "::1") {
  sockaddr_in6 a = {};
  a.sin6_family = AF_INET6;
  a.sin6_port = htons(port);
  inet_pton(AF_INET6, address, &a.sin6_addr);
  return a;
}

template <class A>
int bind_to(const UniqueFd& fd, const A& a) {
  return bind(fd.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a);
}
template <class A>
int connect_to(const UniqueFd& fd, const A& a) {
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a);
}
template <class A>
ssize_t send_to(const UniqueFd& fd, std::string_view text, const A& a, int flags = 0) {
  return sendto(fd.get(), text.data(), text.size(), flags, reinterpret_cast<const sockaddr*>(&a),
                sizeof a);
}

inline UniqueFd new_socket(int type = SOCK_STREAM, int family = AF_INET) {
  return UniqueFd(MUST(socket(family, type, 0)));
}

inline std::string text_of(const sockaddr_storage& a) {
  char text[INET6_ADDRSTRLEN] = "?";
  uint16_t port = 0;
  if (a.ss_family == AF_INET) {
    auto& in = reinterpret_cast<const sockaddr_in&>(a);
    inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
    port = in.sin_port;
  } else if (a.ss_family == AF_INET6) {
    auto& in = reinterpret_cast<const sockaddr_in6&>(a);
    inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
    port = in.sin6_port;
  }
  return std::string(text) + " " + std::to_string(ntohs(port));
}

// "127.0.0.1 80"
inline std::string name_of(const UniqueFd& fd) {
  sockaddr_storage a = {};
  socklen_t size = sizeof a;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&a), &size) != 0) {
    return describe_errno(errno);
  }
  return text_of(a);
}

inline std::string peer_of(const UniqueFd& fd) {
  sockaddr_storage a = {};
  socklen_t size = sizeof a;
  if (getpeername(fd.get(), reinterpret_cast<sockaddr*>(&a), &size) != 0) {
    return describe_errno(errno);
  }
  return text_of(a);
}

inline uint16_t port_of(const UniqueFd& fd) {
  sockaddr_storage a = {};
  socklen_t size = sizeof a;
  MUST(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&a), &size));
  return ntohs(a.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(a).sin_port
                                      : reinterpret_cast<sockaddr_in6&>(a).sin6_port);
}

inline int set_int(const UniqueFd& fd, int level, int name, int value) {
  return setsockopt(fd.get(), level, name, &value, sizeof value);
}
inline int get_int(const UniqueFd& fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  if (getsockopt(fd.get(), level, name, &value, &size) != 0) return -errno;
  return value;
}

inline UniqueFd bound(int type = SOCK_DGRAM, int family = AF_INET) {
  UniqueFd fd = new_socket(type, family);
  if (family == AF_INET) {
    MUST(bind_to(fd, v4(0)));
  } else {
    MUST(bind_to(fd, v6(0)));
  }
  return fd;
}

inline UniqueFd listener(int family = AF_INET, int backlog = 5) {
  UniqueFd fd = bound(SOCK_STREAM, family);
  MUST(listen(fd.get(), backlog));
  return fd;
}

inline UniqueFd accepted(const UniqueFd& server) {
  return UniqueFd(MUST(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC)));
}

// A connection: `client` has connected to `server`, `peer` was accepted from it.
struct Connection {
  explicit Connection(int family = AF_INET) {
    server = listener(family);
    client = new_socket(SOCK_STREAM, family);
    if (family == AF_INET) {
      MUST(connect_to(client, v4(port_of(server))));
    } else {
      MUST(connect_to(client, v6(port_of(server))));
    }
    peer = accepted(server);
  }
  UniqueFd server, client, peer;
};

inline std::string receive(const UniqueFd& fd, size_t size = 4096, int flags = 0) {
  std::string out(size, '\0');
  ssize_t n = recv(fd.get(), out.data(), size, flags);
  return n < 0 ? "(" + describe_errno(errno) + ")" : out.substr(0, size_t(n));
}

inline void say(const UniqueFd& fd, std::string_view text, int flags = 0) {
  EXPECT_EQ(send(fd.get(), text.data(), text.size(), flags | MSG_NOSIGNAL), ssize_t(text.size()));
}

// The events that poll(2) tells at once.
inline int events(const UniqueFd& fd) {
  pollfd p = {fd.get(), POLLIN | POLLOUT | POLLPRI | POLLRDHUP, 0};
  MUST(poll(&p, 1, 0));
  return p.revents;
}

// Waits until one of `what` is there: what one end does the other may see a little later.
inline int await(const UniqueFd& fd, int what, int timeout = 5000) {
  pollfd p = {fd.get(), short(what), 0};
  MUST(poll(&p, 1, timeout));
  return p.revents;
}

inline void set_nonblocking(const UniqueFd& fd) {
  MUST(fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK));
}

}  // namespace inet
