#include "host/local_socket.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>

#include "host/call.h"

namespace usk::host {
namespace {

constexpr size_t kMaxFds = 8;

// sun_path is short; a directory that is held has a short name in /proc, whatever its own.
Result<sockaddr_un> address(const HostFd& dir, const std::string& name) {
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  const std::string path = fmt::format("/proc/self/fd/{}/{}", dir.get(), name);
  if (path.size() >= sizeof a.sun_path) return Err(ENAMETOOLONG);
  memcpy(a.sun_path, path.c_str(), path.size() + 1);
  return a;
}

Result<UniqueFd> new_socket(int flags) {
  UniqueFd s(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  if (!s) return Err(errno);
  return s;
}

}  // namespace

Result<UniqueFd> listen_local(const HostFd& dir, const std::string& name) {
  const sockaddr_un a = TRY(address(dir, name));
  UniqueFd s = TRY(new_socket(SOCK_NONBLOCK));
  if (::fchmod(s.get(), 0600) != 0) return Err(errno);
  if (::bind(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) return Err(errno);
  if (::listen(s.get(), 16) != 0) return Err(errno);
  return s;
}

Result<UniqueFd> connect_local(const HostFd& dir, const std::string& name) {
  const sockaddr_un a = TRY(address(dir, name));
  UniqueFd s = TRY(new_socket(0));
  if (::connect(s.get(), reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) return Err(errno);
  return s;
}

Result<UniqueFd> accept_local(int listener) {
  UniqueFd s(int(guarded(SYS_accept4, listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)));
  if (!s) return Err(errno);
  return s;
}

Result<std::pair<UniqueFd, UniqueFd>> local_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return Err(errno);
  }
  return std::pair(UniqueFd(ends[0]), UniqueFd(ends[1]));
}

Result<uint32_t> peer_uid(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (guarded(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return Err(errno);
  return peer.uid;
}

Result<size_t> send_with_fds(int socket, std::span<const std::byte> bytes,
                             std::span<const int> fds) {
  if (fds.size() > kMaxFds) return Err(EINVAL);
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  if (!fds.empty()) {
    m.msg_control = control;
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t n;
  do n = guarded(SYS_sendmsg, socket, &m, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n < 0) return Err(errno);
  return size_t(n);
}

Result<ReceivedBytes> receive_with_fds(int socket, std::span<std::byte> dst) {
  iovec part{dst.data(), dst.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  ssize_t n;
  do n = guarded(SYS_recvmsg, socket, &m, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0) return Err(errno);
  ReceivedBytes got;
  got.size = size_t(n);
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    std::vector<int> fds((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds.data(), CMSG_DATA(c), fds.size() * sizeof(int));
    for (int fd : fds) got.fds.emplace_back(fd);
  }
  return got;
}

}  // namespace usk::host
