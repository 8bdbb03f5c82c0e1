#include "host/channel.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "host/call.h"

namespace usk::host {

OrFailure<Channel> Channel::make() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    return fail(fmt::format("socketpair: {}", strerror(errno)));
  }
  Channel c;
  c.near_ = UniqueFd(ends[0]);
  c.far_ = UniqueFd(ends[1]);
  return c;
}

Result<void> Channel::send(int fd) {
  char byte = 0;
  iovec iov{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&msg);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &fd, sizeof fd);
  if (guarded(SYS_sendmsg, near_.get(), &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return Err(errno);
  return {};
}

void Channel::drain() {
  char byte;
  while (guarded(SYS_recvfrom, far_.get(), &byte, 1, MSG_DONTWAIT, nullptr, cookies.words[5]) > 0) {
  }
}

}  // namespace usk::host
