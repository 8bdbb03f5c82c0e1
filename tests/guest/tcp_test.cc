// TCP between sockets of one host: connections, data, shutdown, resets.
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "tests/guest/inet.h"

namespace {

using namespace guest;
using namespace inet;

TEST(Tcp, ConnectAcceptTalk) {
  Connection c;
  EXPECT_EQ(fcntl(c.peer.get(), F_GETFD), FD_CLOEXEC);
  say(c.client, "hello");
  EXPECT_EQ(receive(c.peer), "hello");
  say(c.peer, "you");
  EXPECT_EQ(receive(c.client), "you");
}

TEST(Tcp, NamesOfBothEnds) {
  Connection c;
  EXPECT_EQ(name_of(c.server), "127.0.0.1 " + std::to_string(port_of(c.server)));
  EXPECT_EQ(name_of(c.client), peer_of(c.peer));
  EXPECT_EQ(name_of(c.peer), peer_of(c.client));
  EXPECT_EQ(port_of(c.peer), port_of(c.server));
  EXPECT_EQ(peer_of(c.server), describe_errno(ENOTCONN));
}

TEST(Tcp, AcceptTellsThePeer) {
  UniqueFd server = listener(), client = new_socket();
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  sockaddr_storage from = {};
  socklen_t size = sizeof from;
  UniqueFd peer(MUST(accept(server.get(), reinterpret_cast<sockaddr*>(&from), &size)));
  EXPECT_EQ(size, sizeof(sockaddr_in));
  EXPECT_EQ(text_of(from), name_of(client));
}

TEST(Tcp, AWildcardListenerHearsEveryLocalAddress) {
  UniqueFd server = new_socket();
  ASSERT_OK(bind_to(server, v4(0, "0.0.0.0")));
  ASSERT_OK(listen(server.get(), 5));
  EXPECT_EQ(name_of(server), "0.0.0.0 " + std::to_string(port_of(server)));
  for (const char* address : {"127.0.0.1", "127.1.2.3", "0.0.0.0"}) {
    UniqueFd client = new_socket();
    ASSERT_OK(connect_to(client, v4(port_of(server), address)));
    UniqueFd peer = accepted(server);
    EXPECT_EQ(name_of(peer), peer_of(client));
    EXPECT_EQ(name_of(client).substr(0, 10), "127.0.0.1 ");
  }
}

TEST(Tcp, BlockedAcceptAndReceiveAreWoken) {
  UniqueFd server = listener(), client = new_socket();
  Thread t([&] {
    UniqueFd peer = accepted(server);
    EXPECT_EQ(receive(peer), "now");
    say(peer, "done");
  });
  wait_until_blocked(t.tid());
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  wait_until_blocked(t.tid());
  say(client, "now");
  EXPECT_EQ(receive(client), "done");
}

TEST(Tcp, StreamHasNoBoundaries) {
  Connection c;
  say(c.client, "abc");
  say(c.client, "def");
  EXPECT_EQ(receive(c.peer, 4, MSG_WAITALL), "abcd");
  EXPECT_EQ(receive(c.peer, 10), "ef");
}

TEST(Tcp, PeekLeavesAndTruncThrowsAway) {
  Connection c;
  say(c.client, "abcdef");
  EXPECT_EQ(receive(c.peer, 3, MSG_PEEK), "abc");
  char unused[4] = "xyz";
  EXPECT_EQ(recv(c.peer.get(), unused, 2, MSG_TRUNC), 2);
  EXPECT_EQ(unused[0], 'x');
  EXPECT_EQ(receive(c.peer), "cdef");
  EXPECT_EQ(receive(c.peer, 1, MSG_DONTWAIT), "(" + describe_errno(EAGAIN) + ")");
}

TEST(Tcp, LargeTransferArrivesWhole) {
  Connection c;
  constexpr size_t kSize = 12 << 20;
  Thread t([&] {
    std::string all(kSize, '\0');
    for (size_t i = 0; i < kSize; ++i) all[i] = char(i * 7 + i / 4096);
    EXPECT_EQ(send(c.client.get(), all.data(), all.size(), 0), ssize_t(kSize));
    c.client.reset();
  });
  size_t at = 0;
  bool right = true;
  for (;;) {
    char bytes[70000];
    const ssize_t n = MUST(read(c.peer.get(), bytes, sizeof bytes));
    if (n == 0) break;
    for (ssize_t i = 0; i < n; ++i, ++at) right = right && bytes[i] == char(at * 7 + at / 4096);
  }
  EXPECT_EQ(at, kSize);
  EXPECT_TRUE(right);
}

TEST(Tcp, NonblockingSendFillsUpAndIsWritableAgain) {
  Connection c;
  set_nonblocking(c.client);
  std::string bytes(1 << 16, 'x');
  size_t sent = 0;
  ssize_t n;
  while ((n = send(c.client.get(), bytes.data(), bytes.size(), 0)) > 0) sent += size_t(n);
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GT(sent, 100000u);
  EXPECT_EQ(events(c.client) & POLLOUT, 0);
  int unsent = 0;
  ASSERT_OK(ioctl(c.client.get(), TIOCOUTQ, &unsent));
  EXPECT_GT(unsent, 0);
  size_t got = 0;
  Thread t([&] {
    while (got < sent) got += size_t(MUST(read(c.peer.get(), bytes.data(), bytes.size())));
  });
  EXPECT_EQ(await(c.client, POLLOUT), POLLOUT);
  t.join();
  EXPECT_EQ(got, sent);
}

TEST(Tcp, EndOfFileAfterShutdown) {
  Connection c;
  say(c.client, "last");
  ASSERT_OK(shutdown(c.client.get(), SHUT_WR));
  EXPECT_EQ(await(c.peer, POLLRDHUP) & POLLRDHUP, POLLRDHUP);
  EXPECT_EQ(receive(c.peer), "last");
  EXPECT_EQ(receive(c.peer), "");
  EXPECT_EQ(events(c.peer), POLLIN | POLLOUT | POLLRDHUP);
  // The other way it still works.
  say(c.peer, "answer");
  EXPECT_EQ(receive(c.client), "answer");
  EXPECT_ERR(send(c.client.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(Tcp, ShutdownOfReadingEndsTheOwnReads) {
  Connection c;
  ASSERT_OK(shutdown(c.peer.get(), SHUT_RD));
  EXPECT_EQ(receive(c.peer), "");
  EXPECT_EQ(events(c.peer), POLLIN | POLLOUT | POLLRDHUP);
  // What comes then can still be read.
  say(c.client, "late");
  await(c.peer, POLLIN);
  sleep_ms(20);
  EXPECT_EQ(receive(c.peer), "late");
}

TEST(Tcp, BothDirectionsShutDown) {
  Connection c;
  ASSERT_OK(shutdown(c.client.get(), SHUT_RDWR));
  EXPECT_EQ(receive(c.peer), "");
  ASSERT_OK(shutdown(c.peer.get(), SHUT_WR));
  EXPECT_EQ(await(c.peer, POLLHUP) & POLLHUP, POLLHUP);
  EXPECT_EQ(await(c.client, POLLHUP) & POLLHUP, POLLHUP);
  EXPECT_EQ(peer_of(c.peer), describe_errno(ENOTCONN));
  EXPECT_ERR(shutdown(c.peer.get(), SHUT_WR), ENOTCONN);
}

TEST(Tcp, ReadAfterPeerCloseGivesDataThenEnd) {
  Connection c;
  say(c.client, "bye");
  c.client.reset();
  EXPECT_EQ(receive(c.peer), "bye");
  EXPECT_EQ(receive(c.peer), "");
  EXPECT_EQ(receive(c.peer), "");
}

TEST(Tcp, WriteAfterPeerCloseIsResetThenPipe) {
  Connection c;
  c.client.reset();
  await(c.peer, POLLRDHUP);
  EXPECT_EQ(send(c.peer.get(), "x", 1, MSG_NOSIGNAL), 1);
  EXPECT_EQ(await(c.peer, POLLHUP) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
  EXPECT_ERR(send(c.peer.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
  EXPECT_EQ(receive(c.peer), "");
}

TEST(Tcp, CloseWithUnreadDataResets) {
  Connection c;
  say(c.client, "unread");
  await(c.peer, POLLIN);
  c.peer.reset();
  EXPECT_EQ(await(c.client, POLLIN) & (POLLERR | POLLHUP), POLLERR | POLLHUP);
  EXPECT_EQ(receive(c.client), "(" + describe_errno(ECONNRESET) + ")");
  EXPECT_EQ(receive(c.client), "");
  EXPECT_ERR(send(c.client.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(Tcp, ResetLosesNoDataThatHasArrived) {
  Connection c;
  say(c.client, "unread");
  say(c.peer, "arrived");
  await(c.client, POLLIN);
  await(c.peer, POLLIN);
  c.peer.reset();
  await(c.client, POLLERR);
  EXPECT_EQ(receive(c.client), "arrived");
  EXPECT_EQ(receive(c.client), "(" + describe_errno(ECONNRESET) + ")");
}

TEST(Tcp, LingerOfNoTimeResets) {
  Connection c;
  const linger none = {1, 0};
  ASSERT_OK(setsockopt(c.client.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none));
  c.client.reset();
  EXPECT_EQ(await(c.peer, POLLERR) & POLLERR, POLLERR);
  EXPECT_EQ(get_int(c.peer, SOL_SOCKET, SO_ERROR), ECONNRESET);
  EXPECT_EQ(get_int(c.peer, SOL_SOCKET, SO_ERROR), 0);
}

TEST(Tcp, SendOnAResetConnectionTellsTheResetFirst) {
  Connection c;
  const linger none = {1, 0};
  ASSERT_OK(setsockopt(c.client.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none));
  c.client.reset();
  await(c.peer, POLLERR);
  EXPECT_ERR(send(c.peer.get(), "x", 1, MSG_NOSIGNAL), ECONNRESET);
  EXPECT_ERR(send(c.peer.get(), "x", 1, MSG_NOSIGNAL), EPIPE);
}

TEST(Tcp, BrokenPipeSignals) {
  Connection c;
  ASSERT_OK(shutdown(c.client.get(), SHUT_WR));
  int status = run_child([&] { (void)!write(c.client.get(), "x", 1); });
  EXPECT_KILLED(status, SIGPIPE);
  status = run_child([&] { send(c.client.get(), "x", 1, 0); });
  EXPECT_KILLED(status, SIGPIPE);
}

TEST(Tcp, VectorsAndMessages) {
  Connection c;
  char one[] = "ab", two[] = "cde";
  iovec parts[] = {{one, 2}, {two, 3}};
  EXPECT_EQ(writev(c.client.get(), parts, 2), 5);
  char a[3] = {}, b[8] = {};
  iovec into[] = {{a, 2}, {b, 7}};
  msghdr m = {};
  char name[32];
  m.msg_name = name;
  m.msg_namelen = sizeof name;
  m.msg_iov = into;
  m.msg_iovlen = 2;
  EXPECT_EQ(recvmsg(c.peer.get(), &m, 0), 5);
  EXPECT_EQ(std::string(a) + b, "abcde");
  EXPECT_EQ(m.msg_namelen, 0u);
  EXPECT_EQ(m.msg_flags & ~MSG_EOR, 0);
}

TEST(Tcp, SendfileAndSplice) {
  Connection c;
  write_file("data", std::string(100000, 'd'));
  UniqueFd file(MUST(open("data", O_RDONLY)));
  off_t at = 0;
  size_t sent = 0;
  Thread t([&] {
    std::string all;
    while (all.size() < 100000) all += receive(c.peer, 1 << 16);
    EXPECT_EQ(all.size(), 100000u);
    EXPECT_EQ(all, std::string(100000, 'd'));
  });
  while (sent < 100000) sent += size_t(MUST(sendfile(c.client.get(), file.get(), &at, 100000)));
  t.join();
  int fds[2];
  MUST(pipe(fds));
  UniqueFd out(fds[0]), in(fds[1]);
  say(c.client, "through a pipe");
  EXPECT_EQ(splice(c.peer.get(), nullptr, in.get(), nullptr, 100, 0), 14);
  EXPECT_EQ(splice(out.get(), nullptr, c.peer.get(), nullptr, 100, 0), 14);
  EXPECT_EQ(receive(c.client), "through a pipe");
}

TEST(Tcp, UrgentByteIsApart) {
  Connection c;
  say(c.client, "ab");
  EXPECT_EQ(send(c.client.get(), "cd!", 3, MSG_OOB), 3);
  say(c.client, "ef");
  EXPECT_EQ(await(c.peer, POLLPRI) & POLLPRI, POLLPRI);
  while (true) {
    int n = 0;
    ASSERT_OK(ioctl(c.peer.get(), FIONREAD, &n));
    char peeked[16];
    if (recv(c.peer.get(), peeked, sizeof peeked, MSG_PEEK) == 4) break;
  }
  char byte = 0;
  EXPECT_EQ(recv(c.peer.get(), &byte, 1, MSG_OOB), 1);
  EXPECT_EQ(byte, '!');
  EXPECT_ERR(recv(c.peer.get(), &byte, 1, MSG_OOB), EINVAL);
  EXPECT_EQ(receive(c.peer), "abcd");
  int at_mark = 0;
  ASSERT_OK(ioctl(c.peer.get(), SIOCATMARK, &at_mark));
  EXPECT_EQ(at_mark, 1);
  EXPECT_EQ(receive(c.peer), "ef");
  ASSERT_OK(ioctl(c.peer.get(), SIOCATMARK, &at_mark));
  EXPECT_EQ(at_mark, 0);
}

TEST(Tcp, UrgentByteInline) {
  Connection c;
  ASSERT_OK(set_int(c.peer, SOL_SOCKET, SO_OOBINLINE, 1));
  EXPECT_EQ(send(c.client.get(), "ab", 2, MSG_OOB), 2);
  await(c.peer, POLLPRI);
  char byte;
  EXPECT_ERR(recv(c.peer.get(), &byte, 1, MSG_OOB), EINVAL);
  EXPECT_EQ(receive(c.peer), "a");
  EXPECT_EQ(receive(c.peer), "b");
}

TEST(Tcp, ReadableBytesAreCounted) {
  Connection c;
  say(c.client, "seven b");
  await(c.peer, POLLIN);
  int n = 0;
  ASSERT_OK(ioctl(c.peer.get(), FIONREAD, &n));
  EXPECT_EQ(n, 7);
  EXPECT_ERR(ioctl(c.server.get(), FIONREAD, &n), EINVAL);
}

TEST(Tcp, LowWaterMark) {
  Connection c;
  ASSERT_OK(set_int(c.peer, SOL_SOCKET, SO_RCVLOWAT, 4));
  say(c.client, "ab");
  sleep_ms(20);
  EXPECT_EQ(events(c.peer) & POLLIN, 0);
  EXPECT_EQ(receive(c.peer, 10, MSG_DONTWAIT | MSG_PEEK), "ab");
  say(c.client, "cd");
  EXPECT_EQ(await(c.peer, POLLIN), POLLIN);
  EXPECT_EQ(receive(c.peer, 10), "abcd");
}

TEST(Tcp, ReceiveTimeout) {
  Connection c;
  const timeval soon = {0, 30000};
  ASSERT_OK(setsockopt(c.peer.get(), SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
  const int64_t begin = now_ms();
  EXPECT_EQ(receive(c.peer), "(" + describe_errno(EAGAIN) + ")");
  EXPECT_GE(now_ms() - begin, 29);
  ASSERT_OK(setsockopt(c.server.get(), SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon));
  EXPECT_ERR(accept(c.server.get(), nullptr, nullptr), EAGAIN);
}

TEST(Tcp, EdgeTriggeredEpollHearsEachArrival) {
  Connection c;
  UniqueFd ep(MUST(epoll_create1(0)));
  epoll_event e = {EPOLLIN | EPOLLET | EPOLLRDHUP, {}};
  ASSERT_OK(epoll_ctl(ep.get(), EPOLL_CTL_ADD, c.peer.get(), &e));
  EXPECT_EQ(epoll_wait(ep.get(), &e, 1, 0), 0);
  say(c.client, "a");
  EXPECT_EQ(epoll_wait(ep.get(), &e, 1, 5000), 1);
  EXPECT_EQ(e.events, uint32_t(EPOLLIN));
  EXPECT_EQ(epoll_wait(ep.get(), &e, 1, 0), 0);
  say(c.client, "b");
  EXPECT_EQ(epoll_wait(ep.get(), &e, 1, 5000), 1);
  c.client.reset();
  EXPECT_EQ(epoll_wait(ep.get(), &e, 1, 5000), 1);
  EXPECT_EQ(e.events, uint32_t(EPOLLIN | EPOLLRDHUP));
}

TEST(Tcp, ListenerIsReadableWithAConnection) {
  UniqueFd server = listener(), client = new_socket();
  EXPECT_EQ(events(server), 0);
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  EXPECT_EQ(await(server, POLLIN), POLLIN);
}

TEST(Tcp, AcceptedAfterTheClientHasGone) {
  UniqueFd server = listener(), client = new_socket();
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  say(client, "left");
  client.reset();
  UniqueFd peer = accepted(server);
  EXPECT_EQ(receive(peer), "left");
  EXPECT_EQ(receive(peer), "");
}

TEST(Tcp, ClosingTheListenerResetsWhatWaits) {
  UniqueFd server = listener(), client = new_socket();
  ASSERT_OK(connect_to(client, v4(port_of(server))));
  await(server, POLLIN);
  server.reset();
  EXPECT_EQ(await(client, POLLERR) & POLLERR, POLLERR);
  EXPECT_EQ(receive(client), "(" + describe_errno(ECONNRESET) + ")");
}

TEST(Tcp, ASocketMayConnectToItself) {
  UniqueFd s = bound(SOCK_STREAM);
  ASSERT_OK(connect_to(s, v4(port_of(s))));
  EXPECT_EQ(name_of(s), peer_of(s));
  say(s, "echo");
  EXPECT_EQ(receive(s), "echo");
}

TEST(Tcp, ListenersThatSharePortShareConnections) {
  UniqueFd one = new_socket(), two = new_socket();
  ASSERT_OK(set_int(one, SOL_SOCKET, SO_REUSEPORT, 1));
  ASSERT_OK(set_int(two, SOL_SOCKET, SO_REUSEPORT, 1));
  ASSERT_OK(bind_to(one, v4(0)));
  ASSERT_OK(bind_to(two, v4(port_of(one))));
  ASSERT_OK(listen(one.get(), 100));
  ASSERT_OK(listen(two.get(), 100));
  std::string kept;
  UniqueFd clients[64];
  for (auto& client : clients) {
    client = new_socket();
    ASSERT_OK(connect_to(client, v4(port_of(one))));
  }
  set_nonblocking(one);
  set_nonblocking(two);
  int of_one = 0, of_two = 0;
  for (int fd; (fd = accept(one.get(), nullptr, nullptr)) >= 0; ++of_one) close(fd);
  for (int fd; (fd = accept(two.get(), nullptr, nullptr)) >= 0; ++of_two) close(fd);
  EXPECT_EQ(of_one + of_two, 64);
  EXPECT_GT(of_one, 5);
  EXPECT_GT(of_two, 5);
}

TEST(Tcp, FullBacklogKeepsOthersWaiting) {
  UniqueFd server = listener(AF_INET, 0), first = new_socket(), second = new_socket();
  ASSERT_OK(connect_to(first, v4(port_of(server))));
  set_nonblocking(second);
  EXPECT_ERR(connect_to(second, v4(port_of(server))), EINPROGRESS);
  UniqueFd one = accepted(server);
  EXPECT_EQ(await(second, POLLOUT), POLLOUT);
  UniqueFd two = accepted(server);
  say(second, "late");
  EXPECT_EQ(receive(two), "late");
}

TEST(Tcp, FullBacklogBlocksWhoConnects) {
  UniqueFd server = listener(AF_INET, 0), first = new_socket(), second = new_socket();
  ASSERT_OK(connect_to(first, v4(port_of(server))));
  Thread t([&] {
    EXPECT_OK(connect_to(second, v4(port_of(server))));
    say(second, "at last");
  });
  wait_until_blocked(t.tid());
  UniqueFd one = accepted(server), two = accepted(server);
  EXPECT_EQ(receive(two), "at last");
}

TEST(Tcp, ArrivalsSignalTheOwner) {
  block_signal(SIGIO);
  Connection c;
  ASSERT_OK(fcntl(c.peer.get(), F_SETOWN, getpid()));
  ASSERT_OK(fcntl(c.peer.get(), F_SETFL, O_ASYNC));
  say(c.client, "x");
  sigset_t io;
  sigemptyset(&io);
  sigaddset(&io, SIGIO);
  siginfo_t info = {};
  EXPECT_EQ(sigwaitinfo(&io, &info), SIGIO);
}

TEST(Tcp, ConnectionsPassThroughUnixSockets) {
  Connection c;
  int fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
  UniqueFd a(fds[0]), b(fds[1]);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  char byte = 'x';
  iovec part = {&byte, 1};
  msghdr m = {};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&m);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int fd = c.peer.get();
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  ASSERT_EQ(sendmsg(a.get(), &m, 0), 1);
  c.peer.reset();
  say(c.client, "on its way");
  ASSERT_EQ(recvmsg(b.get(), &m, 0), 1);
  int got;
  memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof got);
  UniqueFd passed(got);
  EXPECT_EQ(receive(passed), "on its way");
}

}  // namespace
