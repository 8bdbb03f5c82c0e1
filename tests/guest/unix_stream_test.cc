// AF_UNIX stream and seqpacket sockets: connection, data, shutdown, options.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

sockaddr_un address_of(const char* path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  return address;
}

socklen_t size_of(const sockaddr_un& address) {
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + strlen(address.sun_path) + 1);
}

int bind_to(int fd, const char* path) {
  sockaddr_un address = address_of(path);
  return bind(fd, reinterpret_cast<sockaddr*>(&address), size_of(address));
}

int connect_to(int fd, const char* path) {
  sockaddr_un address = address_of(path);
  return connect(fd, reinterpret_cast<sockaddr*>(&address), size_of(address));
}

UniqueFd new_socket(int type = SOCK_STREAM) { return UniqueFd(MUST(socket(AF_UNIX, type, 0))); }

UniqueFd listener(const char* path, int type = SOCK_STREAM, int backlog = 5) {
  UniqueFd fd = new_socket(type);
  MUST(bind_to(fd.get(), path));
  MUST(listen(fd.get(), backlog));
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

std::string receive(const UniqueFd& fd, size_t size = 4096, int flags = 0) {
  std::string out(size, '\0');
  ssize_t n = recv(fd.get(), out.data(), size, flags);
  return n < 0 ? "(" + describe_errno(errno) + ")" : out.substr(0, n);
}

void say(const UniqueFd& fd, std::string_view text) {
  EXPECT_EQ(send(fd.get(), text.data(), text.size(), 0), ssize_t(text.size()));
}

TEST(UnixStream, ConnectAcceptTalk) {
  UniqueFd server = listener("sock");
  UniqueFd client = new_socket();
  EXPECT_OK(connect_to(client.get(), "sock"));
  UniqueFd accepted(MUST(accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  EXPECT_EQ(fcntl(accepted.get(), F_GETFD), FD_CLOEXEC);
  say(client, "hello");
  EXPECT_EQ(receive(accepted), "hello");
  say(accepted, "you");
  EXPECT_EQ(receive(client), "you");
}

TEST(UnixStream, BoundNameIsAFile) {
  UniqueFd server = listener("sock");
  struct stat info;
  MUST(stat("sock", &info));
  EXPECT_TRUE(S_ISSOCK(info.st_mode));
  UniqueFd other = new_socket();
  EXPECT_ERR(bind_to(other.get(), "sock"), EADDRINUSE);
  EXPECT_ERR(open("sock", O_RDWR), ENXIO);
}

TEST(UnixStream, ConnectErrors) {
  UniqueFd client = new_socket();
  EXPECT_ERR(connect_to(client.get(), "missing"), ENOENT);
  write_file("file", "x");
  EXPECT_ERR(connect_to(client.get(), "file"), ECONNREFUSED);
  UniqueFd bound = new_socket();
  MUST(bind_to(bound.get(), "bound"));
  EXPECT_ERR(connect_to(client.get(), "bound"), ECONNREFUSED);
  UniqueFd datagram = new_socket(SOCK_DGRAM);
  MUST(bind_to(datagram.get(), "dgram"));
  EXPECT_ERR(connect_to(client.get(), "dgram"), EPROTOTYPE);
  {
    UniqueFd server = listener("gone");
  }
  EXPECT_ERR(connect_to(client.get(), "gone"), ECONNREFUSED);
}

TEST(UnixStream, StateErrors) {
  UniqueFd fd = new_socket();
  char byte;
  EXPECT_ERR(recv(fd.get(), &byte, 1, 0), EINVAL);
  EXPECT_ERR(send(fd.get(), "x", 1, 0), ENOTCONN);
  EXPECT_ERR(listen(fd.get(), 1), EINVAL);
  EXPECT_ERR(accept(fd.get(), nullptr, nullptr), EINVAL);
  sockaddr_un peer;
  socklen_t size = sizeof peer;
  EXPECT_ERR(getpeername(fd.get(), reinterpret_cast<sockaddr*>(&peer), &size), ENOTCONN);
  MUST(bind_to(fd.get(), "sock"));
  EXPECT_ERR(bind_to(fd.get(), "again"), EINVAL);
}

TEST(UnixStream, Names) {
  UniqueFd server = listener("sock");
  UniqueFd client = new_socket();
  MUST(connect_to(client.get(), "sock"));
  sockaddr_un name = {};
  socklen_t size = sizeof name;
  EXPECT_OK(getsockname(client.get(), reinterpret_cast<sockaddr*>(&name), &size));
  EXPECT_EQ(size, 2u);
  size = sizeof name;
  EXPECT_OK(getpeername(client.get(), reinterpret_cast<sockaddr*>(&name), &size));
  EXPECT_EQ(std::string(name.sun_path), "sock");
  EXPECT_EQ(size, offsetof(sockaddr_un, sun_path) + 5);
  sockaddr_un from = {};
  size = sizeof from;
  UniqueFd accepted(MUST(accept(server.get(), reinterpret_cast<sockaddr*>(&from), &size)));
  EXPECT_EQ(size, 2u);
}

TEST(UnixStream, AbstractNames) {
  UniqueFd server = new_socket();
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  int n = snprintf(address.sun_path + 1, 100, "guest-test-%d", getpid());
  socklen_t size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + n);
  EXPECT_OK(bind(server.get(), reinterpret_cast<sockaddr*>(&address), size));
  EXPECT_OK(listen(server.get(), 1));
  UniqueFd client = new_socket();
  EXPECT_OK(connect(client.get(), reinterpret_cast<sockaddr*>(&address), size));
  server.reset();
  UniqueFd late = new_socket();
  EXPECT_ERR(connect(late.get(), reinterpret_cast<sockaddr*>(&address), size), ECONNREFUSED);
}

TEST(UnixStream, AutobindGivesAnAbstractName) {
  UniqueFd fd = new_socket();
  sa_family_t family = AF_UNIX;
  EXPECT_OK(bind(fd.get(), reinterpret_cast<sockaddr*>(&family), sizeof family));
  sockaddr_un name = {};
  socklen_t size = sizeof name;
  EXPECT_OK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size));
  EXPECT_EQ(size, offsetof(sockaddr_un, sun_path) + 6);
  EXPECT_EQ(name.sun_path[0], 0);
}

TEST(UnixStream, BacklogFullIsEagain) {
  UniqueFd server = listener("sock", SOCK_STREAM, 0);
  UniqueFd first = new_socket(), second(MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)));
  EXPECT_OK(connect_to(first.get(), "sock"));
  EXPECT_ERR(connect_to(second.get(), "sock"), EAGAIN);
  UniqueFd accepted(MUST(accept(server.get(), nullptr, nullptr)));
  EXPECT_OK(connect_to(second.get(), "sock"));
}

TEST(UnixStream, AcceptWaitsAndPollsReadable) {
  UniqueFd server = listener("sock");
  pollfd entry = {server.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 0);
  Thread acceptor([&] { UniqueFd fd(MUST(accept(server.get(), nullptr, nullptr))); });
  wait_until_blocked(acceptor.tid());
  UniqueFd client = new_socket();
  EXPECT_OK(connect_to(client.get(), "sock"));
  acceptor.join();
  UniqueFd second = new_socket();
  EXPECT_OK(connect_to(second.get(), "sock"));
  EXPECT_EQ(poll(&entry, 1, 0), 1);
}

TEST(UnixStream, BytesHaveNoBoundaries) {
  Pair pair;
  say(pair.a, "abc");
  say(pair.a, "def");
  EXPECT_EQ(receive(pair.b, 4), "abcd");
  EXPECT_EQ(receive(pair.b), "ef");
}

TEST(UnixStream, PeekAndWaitall) {
  Pair pair;
  say(pair.a, "hello");
  EXPECT_EQ(receive(pair.b, 2, MSG_PEEK), "he");
  EXPECT_EQ(receive(pair.b, 5), "hello");
  Thread writer([&] {
    say(pair.a, "one");
    usleep(5000);
    say(pair.a, "two");
  });
  EXPECT_EQ(receive(pair.b, 6, MSG_WAITALL), "onetwo");
}

TEST(UnixStream, NonblockingAndDontwait) {
  Pair pair;
  EXPECT_EQ(receive(pair.b, 1, MSG_DONTWAIT), "(EAGAIN)");
  MUST(fcntl(pair.a.get(), F_SETFL, O_NONBLOCK));
  std::string block(65536, 'x');
  ssize_t total = 0;
  for (ssize_t n; (n = write(pair.a.get(), block.data(), block.size())) > 0;) total += n;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(total, 100000);
  pollfd entry = {pair.a.get(), POLLOUT, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 0);
}

TEST(UnixStream, CloseIsEndOfFileThenEpipe) {
  Pair pair;
  say(pair.a, "last");
  pair.a.reset();
  EXPECT_EQ(receive(pair.b), "last");
  EXPECT_EQ(receive(pair.b), "");
  EXPECT_ERR(send(pair.b.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_KILLED(run_child([&] { send(pair.b.get(), "x", 1, 0); }), SIGPIPE);
}

TEST(UnixStream, UnreadDataIsConnectionReset) {
  Pair pair;
  say(pair.a, "unread");
  pair.b.reset();
  EXPECT_EQ(receive(pair.a), "(ECONNRESET)");
  EXPECT_EQ(receive(pair.a), "");
}

TEST(UnixStream, Shutdown) {
  Pair pair;
  EXPECT_OK(shutdown(pair.a.get(), SHUT_WR));
  EXPECT_EQ(receive(pair.b), "");
  EXPECT_ERR(send(pair.a.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
  say(pair.b, "still");
  EXPECT_EQ(receive(pair.a), "still");
  pollfd entry = {pair.b.get(), POLLIN | POLLRDHUP, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  EXPECT_EQ(entry.revents, POLLIN | POLLRDHUP);
  EXPECT_ERR(shutdown(pair.a.get(), 9), EINVAL);
  EXPECT_OK(shutdown(pair.b.get(), SHUT_RDWR));
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  EXPECT_TRUE(entry.revents & POLLHUP);
}

TEST(UnixStream, SocketOptions) {
  Pair pair;
  int value = 0;
  socklen_t size = sizeof value;
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_TYPE, &value, &size));
  EXPECT_EQ(value, SOCK_STREAM);
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_DOMAIN, &value, &size));
  EXPECT_EQ(value, AF_UNIX);
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_ERROR, &value, &size));
  EXPECT_EQ(value, 0);
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_ACCEPTCONN, &value, &size));
  EXPECT_EQ(value, 0);
  value = 1;
  EXPECT_OK(setsockopt(pair.a.get(), SOL_SOCKET, SO_PASSCRED, &value, sizeof value));
  EXPECT_ERR(getsockopt(pair.a.get(), SOL_SOCKET, 9999, &value, &size), ENOPROTOOPT);
  UniqueFd null(MUST(open("/dev/null", O_RDWR)));
  EXPECT_ERR(getsockopt(null.get(), SOL_SOCKET, SO_TYPE, &value, &size), ENOTSOCK);
}

TEST(UnixStream, SendBufferSize) {
  Pair pair;
  int value = 4096;
  EXPECT_OK(setsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &value, sizeof value));
  socklen_t size = sizeof value;
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &value, &size));
  EXPECT_EQ(value, 8192);
}

TEST(UnixStream, Peercred) {
  Pair pair;
  ucred peer = {};
  socklen_t size = sizeof peer;
  EXPECT_OK(getsockopt(pair.a.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size));
  EXPECT_EQ(peer.pid, getpid());
  EXPECT_EQ(peer.uid, geteuid());
  EXPECT_EQ(peer.gid, getegid());
}

TEST(UnixStream, FionreadCounts) {
  Pair pair;
  say(pair.a, "hello");
  int n = 0;
  EXPECT_OK(ioctl(pair.b.get(), FIONREAD, &n));
  EXPECT_EQ(n, 5);
}

TEST(UnixStream, ReceiveTimeout) {
  Pair pair;
  timeval limit = {0, 20000};
  MUST(setsockopt(pair.a.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  int64_t start = now_ms();
  EXPECT_EQ(receive(pair.a), "(EAGAIN)");
  EXPECT_GE(now_ms() - start, 18);
}

TEST(UnixStream, LargeTransferBothWays) {
  Pair pair;
  std::string data(1 << 20, 'd');
  Thread writer([&] {
    EXPECT_EQ(write(pair.a.get(), data.data(), data.size()), ssize_t(data.size()));
    shutdown(pair.a.get(), SHUT_WR);
  });
  size_t total = 0;
  char buffer[30000];
  for (ssize_t n; (n = read(pair.b.get(), buffer, sizeof buffer)) > 0;) total += n;
  EXPECT_EQ(total, data.size());
}

TEST(Seqpacket, KeepsBoundariesAndConnects) {
  UniqueFd server = listener("sock", SOCK_SEQPACKET);
  UniqueFd client = new_socket(SOCK_SEQPACKET);
  EXPECT_OK(connect_to(client.get(), "sock"));
  UniqueFd accepted(MUST(accept(server.get(), nullptr, nullptr)));
  say(client, "abc");
  say(client, "de");
  EXPECT_EQ(receive(accepted, 2), "ab");
  EXPECT_EQ(receive(accepted), "de");
  client.reset();
  EXPECT_EQ(receive(accepted), "");
}

TEST(Socket, CreationErrors) {
  EXPECT_ERR(socket(AF_UNIX, 77, 0), EINVAL);
  EXPECT_ERR(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
  EXPECT_ERR(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
  int fds[2];
  EXPECT_ERR(socketpair(AF_UNIX, 77, 0, fds), EINVAL);
  EXPECT_ERR(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8), EFAULT);
  EXPECT_ERR(send(0x7fff, "x", 1, 0), EBADF);
}

}  // namespace
