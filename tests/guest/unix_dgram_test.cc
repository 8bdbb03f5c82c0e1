// AF_UNIX datagrams, and what may ride on any message: descriptors and credentials.
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Address {
  explicit Address(const char* path) {
    name.sun_family = AF_UNIX;
    strcpy(name.sun_path, path);
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(path) + 1);
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&name); }
  sockaddr_un name = {};
  socklen_t size;
};

UniqueFd bound(const char* path) {
  UniqueFd fd(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
  Address address(path);
  MUST(bind(fd.get(), address.get(), address.size));
  return fd;
}

struct Pair {
  explicit Pair(int type = SOCK_STREAM) {
    int fds[2];
    MUST(socketpair(AF_UNIX, type, 0, fds));
    a.reset(fds[0]);
    b.reset(fds[1]);
  }
  UniqueFd a, b;
};

TEST(UnixDgram, SendtoAndReceivefrom) {
  UniqueFd a = bound("a"), b = bound("b");
  Address to("b");
  EXPECT_EQ(sendto(a.get(), "hello", 5, 0, to.get(), to.size), 5);
  char buffer[16] = {};
  sockaddr_un from = {};
  socklen_t size = sizeof from;
  EXPECT_EQ(recvfrom(b.get(), buffer, 16, 0, reinterpret_cast<sockaddr*>(&from), &size), 5);
  EXPECT_EQ(std::string(from.sun_path), "a");
}

TEST(UnixDgram, BoundariesAndTruncation) {
  Pair pair(SOCK_DGRAM);
  EXPECT_EQ(send(pair.a.get(), "abcdef", 6, 0), 6);
  EXPECT_EQ(send(pair.a.get(), "x", 1, 0), 1);
  EXPECT_EQ(send(pair.a.get(), "", 0, 0), 0);
  char buffer[4];
  EXPECT_EQ(recv(pair.b.get(), buffer, 4, MSG_TRUNC), 6);  // The real length.
  EXPECT_EQ(recv(pair.b.get(), buffer, 4, 0), 1);
  EXPECT_EQ(recv(pair.b.get(), buffer, 4, 0), 0);
  EXPECT_ERR(recv(pair.b.get(), buffer, 4, MSG_DONTWAIT), EAGAIN);
}

TEST(UnixDgram, RecvmsgReportsTruncation) {
  Pair pair(SOCK_DGRAM);
  EXPECT_EQ(send(pair.a.get(), "abcdef", 6, 0), 6);
  char buffer[4];
  iovec part = {buffer, 4};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  EXPECT_EQ(recvmsg(pair.b.get(), &message, 0), 4);
  EXPECT_EQ(message.msg_flags & MSG_TRUNC, MSG_TRUNC);
}

TEST(UnixDgram, ConnectSetsThePeer) {
  UniqueFd a = bound("a"), b = bound("b"), c = bound("c");
  Address to("b");
  EXPECT_OK(connect(a.get(), to.get(), to.size));
  EXPECT_EQ(send(a.get(), "x", 1, 0), 1);
  char byte;
  EXPECT_EQ(recv(b.get(), &byte, 1, 0), 1);
  sockaddr none = {AF_UNSPEC, {}};
  EXPECT_OK(connect(a.get(), &none, sizeof none));
  EXPECT_ERR(send(a.get(), "x", 1, 0), ENOTCONN);
}

TEST(UnixDgram, ConnectedSocketTakesOnlyItsPeer) {
  UniqueFd a = bound("a"), b = bound("b"), c = bound("c");
  Address to_b("b"), to_a("a");
  EXPECT_OK(connect(a.get(), to_b.get(), to_b.size));
  EXPECT_ERR(sendto(c.get(), "x", 1, 0, to_a.get(), to_a.size), EPERM);
  EXPECT_EQ(sendto(b.get(), "x", 1, 0, to_a.get(), to_a.size), 1);
}

TEST(UnixDgram, GoneReceiver) {
  UniqueFd a = bound("a"), b = bound("b");
  Address to("b");
  EXPECT_OK(connect(a.get(), to.get(), to.size));
  b.reset();
  EXPECT_ERR(send(a.get(), "x", 1, 0), ECONNREFUSED);
  Address missing("missing");
  EXPECT_ERR(sendto(a.get(), "x", 1, 0, missing.get(), missing.size), ENOENT);
}

TEST(UnixDgram, TooLongIsEmsgsize) {
  Pair pair(SOCK_DGRAM);
  std::string huge(10 << 20, 'x');
  EXPECT_ERR(send(pair.a.get(), huge.data(), huge.size(), 0), EMSGSIZE);
}

TEST(UnixDgram, FullQueueBlocksAndPolls) {
  UniqueFd a = bound("a"), b = bound("b");
  Address to("b");
  EXPECT_OK(connect(a.get(), to.get(), to.size));
  int sent = 0;
  while (sent < 10000 && send(a.get(), "x", 1, MSG_DONTWAIT) == 1) ++sent;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(sent, 1);
  EXPECT_LT(sent, 10000);
  Thread sender([&] { EXPECT_EQ(send(a.get(), "y", 1, 0), 1); });
  wait_until_blocked(sender.tid());
  char byte;
  for (int i = 0; i < sent; ++i) EXPECT_EQ(recv(b.get(), &byte, 1, 0), 1);
}

TEST(UnixDgram, SendmmsgAndRecvmmsg) {
  Pair pair(SOCK_DGRAM);
  iovec parts[2] = {{const_cast<char*>("ab"), 2}, {const_cast<char*>("cde"), 3}};
  mmsghdr out[2] = {};
  for (int i = 0; i < 2; ++i) {
    out[i].msg_hdr.msg_iov = &parts[i];
    out[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_EQ(sendmmsg(pair.a.get(), out, 2, 0), 2);
  EXPECT_EQ(out[1].msg_len, 3u);
  char buffers[3][8];
  iovec into[3];
  mmsghdr in[3] = {};
  for (int i = 0; i < 3; ++i) {
    into[i] = {buffers[i], 8};
    in[i].msg_hdr.msg_iov = &into[i];
    in[i].msg_hdr.msg_iovlen = 1;
  }
  EXPECT_EQ(recvmmsg(pair.b.get(), in, 3, MSG_DONTWAIT, nullptr), 2);
  EXPECT_EQ(in[0].msg_len, 2u);
}

// One message with descriptors on it.
ssize_t send_fds(const UniqueFd& socket, std::initializer_list<int> fds) {
  char byte = 'F';
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  memcpy(CMSG_DATA(header), fds.begin(), sizeof(int) * fds.size());
  return sendmsg(socket.get(), &message, 0);
}

struct Received {
  ssize_t size;
  int flags;
  int count = 0;
  int fds[16];
};

Received receive_fds(const UniqueFd& socket, int flags = 0, size_t room = 16, size_t bytes = 1) {
  char data[16];
  iovec part = {data, bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = room ? CMSG_LEN(sizeof(int) * room) : 0;
  Received got;
  got.size = recvmsg(socket.get(), &message, flags);
  got.flags = message.msg_flags;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (got.size >= 0 && header != nullptr && header->cmsg_type == SCM_RIGHTS) {
    got.count = static_cast<int>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(got.fds, CMSG_DATA(header), sizeof(int) * got.count);
  }
  return got;
}

TEST(ScmRights, PassesAnOpenFile) {
  Pair pair;
  write_file("f", "hello");
  UniqueFd file(MUST(open("f", O_RDONLY)));
  EXPECT_EQ(send_fds(pair.a, {file.get()}), 1);
  Received got = receive_fds(pair.b, MSG_CMSG_CLOEXEC);
  ASSERT_EQ(got.count, 1);
  EXPECT_NE(got.fds[0], file.get());
  EXPECT_EQ(fcntl(got.fds[0], F_GETFD), FD_CLOEXEC);
  char byte;
  EXPECT_EQ(read(got.fds[0], &byte, 1), 1);
  EXPECT_EQ(lseek(file.get(), 0, SEEK_CUR), 1);  // It is the same open file.
}

TEST(ScmRights, AcrossProcesses) {
  Pair pair;
  EXPECT_EXITED(run_child([&] {
                  UniqueFd event(MUST(eventfd(42, 0)));
                  EXPECT_EQ(send_fds(pair.a, {event.get(), event.get()}), 1);
                }),
                0);
  Received got = receive_fds(pair.b);
  ASSERT_EQ(got.count, 2);
  eventfd_t value = 0;
  EXPECT_OK(eventfd_read(got.fds[1], &value));
  EXPECT_EQ(value, 42u);
}

TEST(ScmRights, InFlightFileStaysOpen) {
  Pair pair;
  int fds[2];
  MUST(pipe(fds));
  EXPECT_EQ(send_fds(pair.a, {fds[1]}), 1);
  close(fds[1]);
  fcntl(fds[0], F_SETFL, O_NONBLOCK);
  char byte;
  EXPECT_ERR(read(fds[0], &byte, 1), EAGAIN);
  pair.b.reset();  // Drops the message, and with it the last writer.
  pair.a.reset();
  EXPECT_EQ(read(fds[0], &byte, 1), 0);
}

TEST(ScmRights, NoRoomIsCtrunc) {
  Pair pair;
  UniqueFd event(MUST(eventfd(0, 0)));
  EXPECT_EQ(send_fds(pair.a, {event.get(), event.get(), event.get()}), 1);
  Received got = receive_fds(pair.b, 0, 1);
  EXPECT_EQ(got.flags & MSG_CTRUNC, MSG_CTRUNC);
  EXPECT_GE(got.count, 1);
  EXPECT_LT(got.count, 3);
  EXPECT_EQ(send_fds(pair.a, {event.get()}), 1);
  got = receive_fds(pair.b, 0, 0);
  EXPECT_EQ(got.flags & MSG_CTRUNC, MSG_CTRUNC);
}

TEST(ScmRights, DoNotMixWithOtherBytes) {
  Pair pair;
  UniqueFd event(MUST(eventfd(0, 0)));
  EXPECT_EQ(send(pair.a.get(), "ab", 2, 0), 2);
  EXPECT_EQ(send_fds(pair.a, {event.get()}), 1);
  EXPECT_EQ(send(pair.a.get(), "cd", 2, 0), 2);
  // A read goes on into the message with descriptors, and no further.
  Received got = receive_fds(pair.b, 0, 16, 16);
  EXPECT_EQ(got.size, 3);
  EXPECT_EQ(got.count, 1);
  char buffer[16];
  EXPECT_EQ(recv(pair.b.get(), buffer, 16, 0), 2);
}

TEST(ScmRights, PeekCopiesThem) {
  Pair pair;
  UniqueFd event(MUST(eventfd(0, 0)));
  EXPECT_EQ(send_fds(pair.a, {event.get()}), 1);
  Received first = receive_fds(pair.b, MSG_PEEK);
  Received second = receive_fds(pair.b);
  EXPECT_EQ(first.count, 1);
  EXPECT_EQ(second.count, 1);
  EXPECT_NE(first.fds[0], second.fds[0]);
}

TEST(ScmRights, Errors) {
  Pair pair;
  EXPECT_ERR(send_fds(pair.a, {999}), EBADF);
}

TEST(ScmRights, SocketInItsOwnQueueGoesAway) {
  // A cycle that only a collector frees; nothing to see but that it does no harm.
  for (int i = 0; i < 20; ++i) {
    Pair pair;
    EXPECT_EQ(send_fds(pair.a, {pair.b.get()}), 1);
  }
}

struct Credentials {
  ssize_t size;
  bool present = false;
  ucred value = {};
};

Credentials receive_credentials(const UniqueFd& socket) {
  char byte;
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  Credentials got;
  got.size = recvmsg(socket.get(), &message, 0);
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header != nullptr && header->cmsg_type == SCM_CREDENTIALS) {
    got.present = true;
    memcpy(&got.value, CMSG_DATA(header), sizeof(ucred));
  }
  return got;
}

ssize_t send_credentials(const UniqueFd& socket, ucred value) {
  char byte = 'C';
  iovec part = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_CREDENTIALS;
  header->cmsg_len = CMSG_LEN(sizeof value);
  memcpy(CMSG_DATA(header), &value, sizeof value);
  return sendmsg(socket.get(), &message, 0);
}

TEST(ScmCredentials, AttachedWhenAskedFor) {
  Pair pair(SOCK_DGRAM);
  EXPECT_EQ(send(pair.a.get(), "x", 1, 0), 1);
  EXPECT_FALSE(receive_credentials(pair.b).present);
  int on = 1;
  MUST(setsockopt(pair.b.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  EXPECT_EQ(send(pair.a.get(), "x", 1, 0), 1);
  Credentials got = receive_credentials(pair.b);
  EXPECT_TRUE(got.present);
  EXPECT_EQ(got.value.pid, getpid());
  EXPECT_EQ(got.value.uid, getuid());
}

TEST(ScmCredentials, NameTheSender) {
  Pair pair(SOCK_DGRAM);
  int on = 1;
  MUST(setsockopt(pair.b.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t pid = fork_child([&] { EXPECT_EQ(send(pair.a.get(), "x", 1, 0), 1); });
  EXPECT_EQ(receive_credentials(pair.b).value.pid, pid);
  EXPECT_EXITED(wait_for(pid), 0);
}

TEST(ScmCredentials, OfWritesNameTheWriter) {
  Pair pair(SOCK_DGRAM);
  int on = 1;
  MUST(setsockopt(pair.b.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  pid_t child = fork_child([&] { MUST(write(pair.a.get(), "x", 1)); });
  EXPECT_EQ(receive_credentials(pair.b).value.pid, child);
  EXPECT_EXITED(wait_for(child), 0);
}

TEST(ScmCredentials, ExplicitOnesAreChecked) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  Pair pair(SOCK_DGRAM);
                  int on = 1;
                  MUST(setsockopt(pair.b.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
                  EXPECT_EQ(send_credentials(pair.a, {getpid(), getuid(), getgid()}), 1);
                  EXPECT_TRUE(receive_credentials(pair.b).present);
                  EXPECT_ERR(send_credentials(pair.a, {getpid(), 0, getgid()}), EPERM);
                  EXPECT_ERR(send_credentials(pair.a, {1, getuid(), getgid()}), EPERM);
                }),
                0);
}

TEST(SocketPermissions, ConnectNeedsWrite) {
  NEEDS_CAPABILITY(CAP_SETUID);
  UniqueFd fd = bound("sock");
  MUST(chmod("sock", 0700));
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  UniqueFd own(MUST(socket(AF_UNIX, SOCK_DGRAM, 0)));
                  Address to("sock");
                  EXPECT_ERR(connect(own.get(), to.get(), to.size), EACCES);
                }),
                0);
}

}  // namespace
