#include "net/unix/unix_socket.h"

#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/un.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/saving_testing.h"
#include "net/unix/in_flight.h"

namespace usk {
namespace {

using namespace testing;

// A file tree of sockets only.
class FakeNames final : public SocketNames {
 public:
  Result<Path> make_socket_node(std::string_view path) override {
    if (nodes_.contains(std::string(path))) return Err(EADDRINUSE);
    return nodes_[std::string(path)] = make(S_IFSOCK | 0777);
  }
  Result<Path> find_socket_node(std::string_view path) override {
    auto it = nodes_.find(std::string(path));
    if (it == nodes_.end()) return Err(ENOENT);
    return it->second;
  }
  void add_regular(std::string path) { nodes_[path] = make(S_IFREG | 0666); }

 private:
  Path make(uint32_t mode) {
    return internal_path(make_ref<InternalInode>(fs_, mode, *test_creds()), "node");
  }
  Ref<InternalFs> fs_ = test_fs();
  std::map<std::string, Path> nodes_;
};

class IdCaller : public FakeCaller {
 public:
  int process() override { return pid; }
  int pid = 100;
};

class UnixSocketTest : public ::testing::Test {
 protected:
  using Pair = std::pair<Ref<Socket>, Ref<Socket>>;

  Ref<Socket> make(int type = SOCK_STREAM) {
    return *UnixSocket::make(caller_, namespace_, type, 0, O_NONBLOCK);
  }
  Pair make_pair(int type = SOCK_STREAM) {
    return *UnixSocket::make_pair(caller_, namespace_, type, 0, O_NONBLOCK);
  }
  // "@x" is an abstract name, "" none at all.
  static SocketAddress address(std::string name) {
    const sa_family_t family = AF_UNIX;
    SocketAddress a{std::string(reinterpret_cast<const char*>(&family), sizeof family)};
    if (name.empty()) return a;
    const bool abstract = name[0] == '@';
    if (abstract) name[0] = '\0';
    a.bytes += name;
    if (!abstract) a.bytes += '\0';
    return a;
  }
  Result<void> bind(Ref<Socket>& s, std::string name) {
    return s->bind(caller_, names_, address(name));
  }
  Result<void> connect(Ref<Socket>& s, std::string name) {
    return s->connect(caller_, names_, address(name));
  }
  Ref<Socket> listener(std::string name, int backlog = 5, int type = SOCK_STREAM) {
    auto s = make(type);
    EXPECT_TRUE(bind(s, name));
    EXPECT_TRUE(s->listen(caller_, backlog));
    return s;
  }
  Result<size_t> send(Ref<Socket>& s, std::string_view data, ControlData control = {},
                      SocketAddress to = {}) {
    KernelIn in(std::as_bytes(std::span(data)));
    Socket::SendArgs args{in, std::move(to), std::move(control), 0};
    return s->send(caller_, names_, args);
  }
  Result<size_t> send_files(Ref<Socket>& s, std::vector<Ref<File>> files,
                            std::string_view data = "f") {
    ControlData control;
    control.files = std::move(files);
    return send(s, data, std::move(control));
  }
  struct Got {
    std::string data;
    Socket::Received info;
  };
  Result<Got> receive(Ref<Socket>& s, size_t n = 1 << 18, int flags = 0) {
    Got got;
    got.data.resize(n);
    KernelOut out(std::as_writable_bytes(std::span(got.data)));
    got.info = TRY(s->receive(caller_, out, flags));
    got.data.resize(std::min(got.info.bytes, n));
    return got;
  }
  std::string text(Ref<Socket>& s, size_t n = 1 << 18, int flags = 0) {
    auto got = receive(s, n, flags);
    return got ? got->data : "error " + std::to_string(int(got.error()));
  }
  int option(Ref<Socket>& s, int name) {
    int v = -1;
    auto bytes = s->get_option(caller_, SOL_SOCKET, name, sizeof v);
    EXPECT_TRUE(bytes) << name;
    if (bytes) memcpy(&v, bytes->data(), bytes->size());
    return v;
  }
  Result<void> set_option(Ref<Socket>& s, int name, int v) {
    return s->set_option(caller_, SOL_SOCKET, name, {reinterpret_cast<char*>(&v), sizeof v});
  }

  FakeTimers timers_;
  IdCaller caller_;
  FakeNames names_;
  Ref<UnixNamespace> namespace_ = make_ref<UnixNamespace>();
};

TEST_F(UnixSocketTest, Kinds) {
  EXPECT_TRUE(failed_with(UnixSocket::make(caller_, namespace_, 99, 0, 0), ESOCKTNOSUPPORT));
  EXPECT_TRUE(
      failed_with(UnixSocket::make(caller_, namespace_, SOCK_STREAM, 2, 0), EPROTONOSUPPORT));
  EXPECT_EQ((*UnixSocket::make(caller_, namespace_, SOCK_RAW, 1, 0))->type(), SOCK_DGRAM);
  auto s = make();
  EXPECT_EQ(option(s, SO_TYPE), SOCK_STREAM);
  EXPECT_EQ(option(s, SO_DOMAIN), AF_UNIX);
  EXPECT_EQ(s->inode().getattr()->mode, S_IFSOCK | 0777u);
}

TEST_F(UnixSocketTest, StreamPairCarriesBytes) {
  auto [a, b] = make_pair();
  EXPECT_EQ(send(a, "hello "), 6u);
  EXPECT_EQ(send(a, "world"), 5u);
  EXPECT_EQ(text(b, 8), "hello wo");
  EXPECT_EQ(text(b), "rld");
  EXPECT_TRUE(failed_with(receive(b), EAGAIN));
  EXPECT_EQ(write_to(*b, "back"), 4u);
  EXPECT_EQ(read_from(*a), "back");
}

TEST_F(UnixSocketTest, UnconnectedSocketsSayWhatLinuxSays) {
  auto s = make(), d = make(SOCK_DGRAM), q = make(SOCK_SEQPACKET);
  EXPECT_EQ(s->poll(), 0x314u);
  EXPECT_EQ(d->poll(), 0x304u);
  EXPECT_EQ(q->poll(), 0x314u);
  EXPECT_TRUE(failed_with(receive(s), EINVAL));
  EXPECT_TRUE(failed_with(receive(d), EAGAIN));
  EXPECT_TRUE(failed_with(receive(q), ENOTCONN));
  EXPECT_TRUE(failed_with(send(s, "x"), ENOTCONN));
  EXPECT_TRUE(failed_with(send(d, "x"), ENOTCONN));
  EXPECT_TRUE(failed_with(send(q, "x"), ENOTCONN));
  EXPECT_TRUE(failed_with(s->listen(caller_, 5), EINVAL));
  EXPECT_TRUE(failed_with(d->listen(caller_, 5), EOPNOTSUPP));
  EXPECT_TRUE(failed_with(s->accept(caller_, 0), EINVAL));
  EXPECT_TRUE(failed_with(d->accept(caller_, 0), EOPNOTSUPP));
  EXPECT_TRUE(failed_with(s->peer_address(), ENOTCONN));
  EXPECT_TRUE(s->shutdown(SHUT_RDWR));
  EXPECT_EQ(s->poll(), 0x2355u);
  EXPECT_TRUE(failed_with(s->shutdown(7), EINVAL));
}

TEST_F(UnixSocketTest, ConnectAndAccept) {
  auto l = listener("@name");
  EXPECT_EQ(l->poll(), 0u);
  auto c = make();
  ASSERT_TRUE(connect(c, "@name"));
  EXPECT_EQ(l->poll(), 0x41u);
  EXPECT_EQ(c->poll(), 0x304u);
  EXPECT_EQ(send(c, "early"), 5u);
  auto s = *l->accept(caller_, 0);
  EXPECT_EQ(text(s), "early");
  EXPECT_EQ(*s->local_address(), address("@name"));
  EXPECT_EQ(*c->peer_address(), address("@name"));
  EXPECT_EQ(*s->peer_address(), address(""));
  EXPECT_TRUE(failed_with(l->peer_address(), ENOTCONN));
  EXPECT_TRUE(failed_with(l->accept(caller_, 0), EAGAIN));
  EXPECT_TRUE(failed_with(connect(c, "@name"), EISCONN));
  EXPECT_TRUE(failed_with(connect(l, "@name"), EINVAL));
  EXPECT_TRUE(failed_with(send(c, "x", {}, address("@name")), EISCONN));
  auto u = make();
  EXPECT_TRUE(failed_with(send(u, "x", {}, address("@name")), EOPNOTSUPP));
  EXPECT_EQ(option(l, SO_ACCEPTCONN), 1);
}

TEST_F(UnixSocketTest, BacklogMakesConnectorsWait) {
  auto l = listener("@full", 0);
  auto a = make(), b = make();
  EXPECT_TRUE(connect(a, "@full"));
  EXPECT_TRUE(failed_with(connect(b, "@full"), EAGAIN));
  auto waiter = make_ref<CountingWaiter>();
  b->queue().add(waiter, POLLOUT);
  EXPECT_TRUE(l->accept(caller_, 0));
  EXPECT_TRUE(waiter->take(POLLOUT));
  EXPECT_TRUE(connect(b, "@full"));
}

TEST_F(UnixSocketTest, ListenerCloseResetsTheUnaccepted) {
  auto l = listener("@gone");
  auto c = make();
  connect(c, "@gone");
  l.reset();
  EXPECT_EQ(text(c), "error " + std::to_string(ECONNRESET));
  EXPECT_EQ(text(c), "");
  auto again = make();
  EXPECT_TRUE(failed_with(connect(again, "@gone"), ECONNREFUSED));
}

TEST_F(UnixSocketTest, Names) {
  auto a = make(), b = make();
  EXPECT_EQ(*a->local_address(), address(""));
  EXPECT_TRUE(bind(a, "@n"));
  EXPECT_TRUE(failed_with(bind(a, "@m"), EINVAL));
  EXPECT_TRUE(failed_with(bind(b, "@n"), EADDRINUSE));
  auto d = make(SOCK_DGRAM);
  EXPECT_TRUE(bind(d, "@n"));  // Names of other types do not meet.
  EXPECT_TRUE(bind(b, ""));
  EXPECT_EQ(b->local_address()->bytes.size(), 8u);
  EXPECT_TRUE(bind(b, ""));
  a.reset();
  auto c = make();
  EXPECT_TRUE(bind(c, "@n"));
  SocketAddress bad = address("@x");
  bad.bytes[0] = AF_INET;
  EXPECT_TRUE(failed_with(make()->bind(caller_, names_, bad), EINVAL));
  bad = address("/" + std::string(120, 'x'));
  EXPECT_TRUE(failed_with(make()->bind(caller_, names_, bad), EINVAL));
}

TEST_F(UnixSocketTest, PathNames) {
  auto l = make();
  ASSERT_TRUE(bind(l, "/run/s"));
  EXPECT_EQ(l->local_address()->bytes.size(), 2u + 7);
  auto c = make(), d = make(SOCK_DGRAM);
  EXPECT_TRUE(failed_with(connect(c, "/run/s"), ECONNREFUSED));
  EXPECT_TRUE(failed_with(connect(d, "/run/s"), EPROTOTYPE));
  EXPECT_TRUE(failed_with(connect(c, "/run/none"), ENOENT));
  names_.add_regular("/file");
  EXPECT_TRUE(failed_with(connect(c, "/file"), ECONNREFUSED));
  EXPECT_TRUE(failed_with(bind(c, "/run/s"), EADDRINUSE));
  EXPECT_TRUE(l->listen(caller_, 1));
  EXPECT_TRUE(connect(c, "/run/s"));
  l.reset();
  auto late = make();
  EXPECT_TRUE(failed_with(connect(late, "/run/s"), ECONNREFUSED));  // The node stays.
}

TEST_F(UnixSocketTest, CloseWithUnreadDataResets) {
  auto [a, b] = make_pair();
  send(a, "unread");
  b.reset();
  EXPECT_EQ(a->poll(), 0x235du);
  EXPECT_TRUE(failed_with(receive(a), ECONNRESET));
  EXPECT_EQ(text(a), "");
  EXPECT_TRUE(failed_with(send(a, "x"), EPIPE));
  EXPECT_TRUE(a->raises_sigpipe());
}

TEST_F(UnixSocketTest, CloseLetsTheRestBeRead) {
  auto [a, b] = make_pair();
  send(a, "rest");
  a.reset();
  EXPECT_EQ(text(b), "rest");
  EXPECT_EQ(text(b), "");
  EXPECT_EQ(option(b, SO_ERROR), 0);
}

TEST_F(UnixSocketTest, ErrorIsTakenOnce) {
  auto [a, b] = make_pair();
  send(a, "unread");
  b.reset();
  EXPECT_EQ(option(a, SO_ERROR), ECONNRESET);
  EXPECT_EQ(option(a, SO_ERROR), 0);
}

TEST_F(UnixSocketTest, ShutdownHalves) {
  auto [a, b] = make_pair();
  EXPECT_TRUE(a->shutdown(SHUT_WR));
  EXPECT_EQ(a->poll(), 0x304u);
  EXPECT_EQ(b->poll(), 0x2345u);
  EXPECT_EQ(text(b), "");
  EXPECT_TRUE(failed_with(send(a, "x"), EPIPE));
  EXPECT_EQ(send(b, "y"), 1u);
  EXPECT_TRUE(a->shutdown(SHUT_RD));
  EXPECT_EQ(a->poll(), 0x2355u);
  EXPECT_EQ(text(a), "y");  // What was there may be read.
  EXPECT_EQ(text(a), "");
  EXPECT_TRUE(failed_with(send(b, "z"), EPIPE));
}

TEST_F(UnixSocketTest, SendBufferIsLinuxs) {
  auto [a, b] = make_pair();
  int n = 0;
  while (send(a, "x")) ++n;
  EXPECT_EQ(n, 278);
  EXPECT_EQ(a->poll(), 0u);
  int used = 0, readable = 0;
  EXPECT_TRUE(caller_.ioctl(*a, SIOCOUTQ, used));
  EXPECT_EQ(used, 213504);
  EXPECT_TRUE(caller_.ioctl(*b, SIOCINQ, readable));
  EXPECT_EQ(readable, 278);
  auto waiter = make_ref<CountingWaiter>();
  a->queue().add(waiter, POLLOUT);
  n = 0;
  while (!(a->poll() & POLLOUT)) {
    text(b, 1);
    ++n;
  }
  EXPECT_EQ(n, 209);
  EXPECT_TRUE(waiter->take(POLLOUT));
}

TEST_F(UnixSocketTest, LongSendsArePartial) {
  auto [a, b] = make_pair();
  const auto n = send(a, std::string(1 << 20, 'x'));
  ASSERT_TRUE(n);
  EXPECT_GT(*n, 200'000u);
  EXPECT_LT(*n, 250'000u);
  EXPECT_EQ(text(b, 1 << 20).size(), *n);
}

TEST_F(UnixSocketTest, PacketsKeepTheirBounds) {
  auto [a, b] = make_pair(SOCK_SEQPACKET);
  send(a, "0123456789");
  send(a, "");
  send(a, "next");
  auto got = receive(b, 3);
  EXPECT_EQ(got->data, "012");
  EXPECT_EQ(got->info.flags, MSG_TRUNC);
  EXPECT_EQ(text(b), "");
  got = receive(b, 2, MSG_TRUNC | MSG_PEEK);
  EXPECT_EQ(got->info.bytes, 4u);
  EXPECT_EQ(text(b), "next");
  a.reset();
  EXPECT_EQ(text(b), "");
  EXPECT_TRUE(failed_with(send(b, "x"), EPIPE));
}

TEST_F(UnixSocketTest, PacketsHaveASizeLimit) {
  auto [a, b] = make_pair(SOCK_DGRAM);
  EXPECT_TRUE(failed_with(send(a, std::string(300'000, 'x')), EMSGSIZE));
  EXPECT_TRUE(failed_with(send(a, std::string(212'992 - 31, 'x')), EMSGSIZE));
  EXPECT_EQ(send(a, std::string(212'992 - 32, 'x')), 212'960u);
  EXPECT_TRUE(failed_with(send(a, ""), EAGAIN));
  EXPECT_EQ(text(b).size(), 212'960u);
}

TEST_F(UnixSocketTest, DatagramsGoToNames) {
  auto server = make(SOCK_DGRAM), client = make(SOCK_DGRAM);
  bind(server, "@server");
  bind(client, "@client");
  EXPECT_EQ(send(client, "ask", {}, address("@server")), 3u);
  auto got = receive(server);
  EXPECT_EQ(got->data, "ask");
  EXPECT_EQ(got->info.from, address("@client"));
  EXPECT_TRUE(failed_with(send(client, "x", {}, address("@none")), ECONNREFUSED));
}

TEST_F(UnixSocketTest, ConnectedDatagramsAreFiltered) {
  auto server = make(SOCK_DGRAM), client = make(SOCK_DGRAM), other = make(SOCK_DGRAM);
  bind(server, "@s");
  bind(client, "@c");
  EXPECT_TRUE(connect(client, "@s"));
  EXPECT_EQ(send(client, "x"), 1u);
  EXPECT_TRUE(connect(server, "@c"));
  EXPECT_TRUE(failed_with(send(other, "x", {}, address("@s")), EPERM));
  EXPECT_TRUE(failed_with(connect(other, "@s"), EPERM));
  EXPECT_TRUE(server->connect(caller_, names_, {std::string(2, '\0')}));  // AF_UNSPEC
  EXPECT_EQ(send(other, "x", {}, address("@s")), 1u);
}

TEST_F(UnixSocketTest, DatagramPeerGone) {
  auto [a, b] = make_pair(SOCK_DGRAM);
  b.reset();
  EXPECT_EQ(a->poll(), 0x304u);
  EXPECT_TRUE(failed_with(send(a, "x"), ECONNREFUSED));
  EXPECT_TRUE(failed_with(send(a, "x"), ENOTCONN));
  EXPECT_TRUE(failed_with(receive(a), EAGAIN));
  EXPECT_FALSE(a->raises_sigpipe());
}

TEST_F(UnixSocketTest, FullDatagramQueueWaits) {
  auto server = make(SOCK_DGRAM);
  bind(server, "@busy");
  std::vector<Ref<Socket>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(make(SOCK_DGRAM));
    connect(clients.back(), "@busy");
  }
  for (int i = 0; i < 512; ++i) ASSERT_TRUE(send(clients[i % 2], "x"));
  auto waiter = make_ref<CountingWaiter>();
  clients[2]->queue().add(waiter, POLLOUT);
  EXPECT_EQ(clients[2]->poll() & POLLOUT, 0u);
  EXPECT_TRUE(failed_with(send(clients[2], "x"), EAGAIN));
  text(server);
  EXPECT_TRUE(waiter->take(POLLOUT));
  EXPECT_EQ(send(clients[2], "x"), 1u);
}

TEST_F(UnixSocketTest, PeekLeavesData) {
  auto [a, b] = make_pair();
  send(a, "one");
  send(a, "two");
  EXPECT_EQ(text(b, 5, MSG_PEEK), "onetw");
  EXPECT_EQ(text(b), "onetwo");
}

TEST_F(UnixSocketTest, FilesArrive) {
  auto [a, b] = make_pair();
  auto [x, y] = make_pair();
  EXPECT_EQ(send_files(a, {x, y}, "ab"), 2u);
  EXPECT_EQ(in_flight::count(), 2u);
  send(a, "later");
  auto peeked = receive(b, 1, MSG_PEEK);
  EXPECT_EQ(peeked->info.control.files.size(), 2u);
  auto got = receive(b);
  EXPECT_EQ(got->data, "ab");  // A message with files ends the read.
  ASSERT_EQ(got->info.control.files.size(), 2u);
  EXPECT_EQ(got->info.control.files[0], Ref<File>(x));
  EXPECT_EQ(in_flight::count(), 0u);
  EXPECT_EQ(text(b), "later");
}

TEST_F(UnixSocketTest, FilesAreLimited) {
  auto [a, b] = make_pair();
  EXPECT_TRUE(failed_with(send_files(a, std::vector<Ref<File>>(254, a)), EINVAL));
  const std::vector<Ref<File>> many(253, b);
  std::vector<UnixSocketTest::Pair> pairs;
  Result<size_t> sent = 0;
  for (int i = 0; i < 100 && sent; ++i) {
    pairs.push_back(make_pair());
    sent = send_files(pairs.back().first, many);
  }
  EXPECT_TRUE(failed_with(sent, ETOOMANYREFS));
  pairs.clear();
  EXPECT_EQ(in_flight::count(), 0u);
  EXPECT_EQ(send_files(a, many), 1u);
}

TEST_F(UnixSocketTest, FailedSendsLetGoOfFiles) {
  auto [a, b] = make_pair();
  auto [x, y] = make_pair();
  b.reset();
  EXPECT_TRUE(failed_with(send_files(a, {x}), EPIPE));
  EXPECT_EQ(in_flight::count(), 0u);
  EXPECT_EQ(x->ref_count(), 1);
}

TEST_F(UnixSocketTest, SocketsSentOverThemselvesAreCollected) {
  const size_t before = kernel_memory().used();
  {
    auto [a, b] = make_pair();
    send_files(a, {a, b});
    send_files(b, {a, b});
    auto [c, d] = make_pair(SOCK_DGRAM);
    send_files(c, {a, d});
    send_files(a, {c});
  }
  make_pair();  // Its end makes the collector look.
  EXPECT_EQ(in_flight::count(), 0u);
  EXPECT_EQ(kernel_memory().used(), before);
}

TEST_F(UnixSocketTest, UnacceptedConnectionsAreCollected) {
  {
    auto l = listener("@cycle");
    auto c = make();
    connect(c, "@cycle");
    send_files(c, {l, c});
  }
  make();
  EXPECT_EQ(in_flight::count(), 0u);
  auto l = make();
  EXPECT_TRUE(bind(l, "@cycle"));
}

TEST_F(UnixSocketTest, CollectorSparesTheReachable) {
  auto [a, b] = make_pair();
  {
    auto [c, d] = make_pair();
    send(c, "inside");
    send_files(c, {c});
    send_files(a, {d});
  }
  make_pair();
  auto got = receive(b);
  ASSERT_EQ(got->info.control.files.size(), 1u);
  EXPECT_EQ(read_from(*got->info.control.files[0], 6), "inside");
}

TEST_F(UnixSocketTest, LongChainsOfSocketsEnd) {
  auto [a, b] = make_pair();
  for (int i = 0; i < 3000; ++i) {
    auto [c, d] = make_pair();
    ASSERT_TRUE(send_files(c, {b}));
    a = c;
    b = d;
  }
  a.reset();
  b.reset();
  make_pair();
  EXPECT_EQ(in_flight::count(), 0u);
}

TEST_F(UnixSocketTest, CredentialsOnRequest) {
  auto [a, b] = make_pair();
  send(a, "x");
  EXPECT_FALSE(receive(b)->info.control.creds);
  EXPECT_TRUE(set_option(b, SO_PASSCRED, 1));
  send(a, "x");
  caller_.pid = 200;
  send(a, "y");
  auto got = receive(b);
  EXPECT_EQ(got->data, "x");  // Another sender's bytes are read apart.
  EXPECT_EQ(*got->info.control.creds, (SocketCreds{100, 0, 0}));
  EXPECT_EQ(receive(b)->info.control.creds->pid, 200);
}

TEST_F(UnixSocketTest, ClaimsAreChecked) {
  auto [a, b] = make_pair();
  ControlData control;
  control.creds = SocketCreds{1, 5, 5};
  EXPECT_TRUE(send(a, "x", control));  // Root may.
  caller_.who = user_creds(1000);
  EXPECT_TRUE(failed_with(send(a, "x", control), EPERM));
  control.creds = SocketCreds{100, 1000, 1000};
  EXPECT_TRUE(send(a, "x", control));
  control.creds = SocketCreds{100, 0, 1000};
  EXPECT_TRUE(failed_with(send(a, "x", control), EPERM));
}

TEST_F(UnixSocketTest, PeerCredentials) {
  auto read_creds = [&](Ref<Socket>& s) {
    ucred c{};
    auto bytes = s->get_option(caller_, SOL_SOCKET, SO_PEERCRED, sizeof c);
    memcpy(&c, bytes->data(), sizeof c);
    return std::pair<int, int>(c.pid, int(c.uid));
  };
  auto u = make();
  EXPECT_EQ(read_creds(u), std::pair(0, -1));
  auto l = listener("@who");
  caller_.pid = 300;
  caller_.who = user_creds(1000);
  auto c = make();
  connect(c, "@who");
  auto s = *l->accept(caller_, 0);
  EXPECT_EQ(read_creds(c), std::pair(100, 0));
  EXPECT_EQ(read_creds(s), std::pair(300, 1000));
}

TEST_F(UnixSocketTest, Options) {
  auto s = make();
  EXPECT_EQ(option(s, SO_SNDBUF), 212992);
  EXPECT_TRUE(set_option(s, SO_SNDBUF, 1));
  EXPECT_EQ(option(s, SO_SNDBUF), 4608);
  EXPECT_TRUE(set_option(s, SO_SNDBUF, 100'000'000));
  EXPECT_EQ(option(s, SO_SNDBUF), 8388608);
  EXPECT_TRUE(set_option(s, SO_RCVBUF, 1));
  EXPECT_EQ(option(s, SO_RCVBUF), 2304);
  EXPECT_TRUE(set_option(s, SO_KEEPALIVE, 7));
  EXPECT_EQ(option(s, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(s, SO_RCVLOWAT), 1);
  EXPECT_EQ(option(s, SO_PEEK_OFF), -1);
  EXPECT_TRUE(failed_with(set_option(s, SO_TYPE, 1), ENOPROTOOPT));
  EXPECT_TRUE(failed_with(set_option(s, 9999, 1), ENOPROTOOPT));
  EXPECT_TRUE(failed_with(s->get_option(caller_, SOL_SOCKET, 9999, 4), ENOPROTOOPT));
  EXPECT_TRUE(failed_with(set_option(s, SO_REUSEPORT, 1), EOPNOTSUPP));
  EXPECT_TRUE(failed_with(set_option(s, SO_ZEROCOPY, 1), EOPNOTSUPP));
  EXPECT_TRUE(failed_with(s->set_option(caller_, SOL_SOCKET, SO_PASSCRED, "ab"), EINVAL));
  EXPECT_TRUE(failed_with(s->set_option(caller_, 6, 1, "abcd"), EOPNOTSUPP));
  EXPECT_TRUE(failed_with(s->get_option(caller_, 6, 1, 4), EOPNOTSUPP));
}

TEST_F(UnixSocketTest, Timeouts) {
  auto s = make();
  const timeval t{2, 500'000};
  auto bytes = option_value(t, sizeof t);
  EXPECT_TRUE(s->set_option(caller_, SOL_SOCKET, SO_RCVTIMEO, bytes));
  EXPECT_EQ(s->receive_timeout(), 2'500'000'000);
  EXPECT_EQ(s->send_timeout(), 0);
  EXPECT_EQ(*s->get_option(caller_, SOL_SOCKET, SO_RCVTIMEO, sizeof t), bytes);
  const timeval bad{0, 1'000'000};
  EXPECT_TRUE(failed_with(
      s->set_option(caller_, SOL_SOCKET, SO_RCVTIMEO, option_value(bad, sizeof bad)), EDOM));
}

TEST_F(UnixSocketTest, WakesReceivers) {
  auto [a, b] = make_pair();
  auto waiter = make_ref<CountingWaiter>();
  b->queue().add(waiter, POLLIN | POLLRDHUP);
  send(a, "x");
  EXPECT_TRUE(waiter->take(POLLIN));
  a->shutdown(SHUT_WR);
  EXPECT_TRUE(waiter->take(POLLRDHUP));
  a.reset();
  EXPECT_TRUE(waiter->take(POLLHUP));
}

TEST_F(UnixSocketTest, FaultsLoseNoStreamBytes) {
  auto [a, b] = make_pair();
  send(a, "x");
  FaultyOut out(1);
  EXPECT_TRUE(failed_with(b->receive(caller_, out, 0), EFAULT));
  EXPECT_EQ(text(b), "x");
}

TEST_F(UnixSocketTest, OutOfBandIsRefused) {
  auto [a, b] = make_pair();
  EXPECT_TRUE(failed_with(receive(b, 1, MSG_OOB), EOPNOTSUPP));
  int n = 0;
  EXPECT_TRUE(failed_with(caller_.ioctl(*a, 0x5401, n), ENOTTY));
  auto l = listener("@inq");
  EXPECT_TRUE(failed_with(caller_.ioctl(*l, SIOCINQ, n), EINVAL));
}

// --- Saved and loaded.

Ref<SavedProcess> process_with(std::vector<Ref<File>> files) {
  auto p = make_ref<SavedProcess>();
  p->files = std::move(files);
  return p;
}

Ref<Socket> socket_of(const Ref<SavedProcess>& p, size_t n) {
  return ref_cast<Socket>(p->files[n]);
}

TEST_F(UnixSocketTest, QueuesAreSavedWithFilesInFlight) {
  auto [a, b] = make_pair();
  auto [c, d] = make_pair();
  ASSERT_TRUE(send(a, "first"));
  ASSERT_TRUE(send_files(a, {c}, "second"));
  ASSERT_TRUE(send(c, "to d"));
  c.reset();  // It is in the queue alone.
  auto copy = save_and_load_files(process_with({a, b, d}));
  ASSERT_TRUE(copy);
  Ref<Socket> same_b = socket_of(copy, 1), same_d = socket_of(copy, 2);
  EXPECT_EQ(text(same_b, 5), "first");
  auto got = receive(same_b);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->data, "second");
  ASSERT_EQ(got->info.control.files.size(), 1u);
  EXPECT_EQ(text(same_d), "to d");
  auto same_c = ref_cast<Socket>(got->info.control.files[0]);
  ASSERT_TRUE(send(same_c, "again"));
  EXPECT_EQ(text(same_d), "again");
  // The end of one is still the end for its peer.
  same_d.reset();
  copy->files.clear();
  EXPECT_TRUE(failed_with(send(same_c, "x"), EPIPE));
  EXPECT_EQ(text(b, 5), "first");
  EXPECT_TRUE(receive(b));
}

TEST_F(UnixSocketTest, ListenersAreSavedWithTheirBacklog) {
  auto l = listener("@saved");
  auto waiting = make();
  ASSERT_TRUE(connect(waiting, "@saved"));
  ASSERT_TRUE(send(waiting, "early"));
  auto copy = save_and_load_files(process_with({l, waiting}));
  ASSERT_TRUE(copy);
  auto accepted = socket_of(copy, 0)->accept(caller_, O_NONBLOCK);
  ASSERT_TRUE(accepted);
  EXPECT_EQ(text(*accepted), "early");
  // The name leads to the copy in its own namespace.
  auto names = static_cast<UnixSocket&>(*copy->files[0]).endpoint().names();
  EXPECT_NE(names, namespace_);
  Ref<Socket> later = *UnixSocket::make(caller_, names, SOCK_STREAM, 0, O_NONBLOCK);
  EXPECT_TRUE(connect(later, "@saved"));
  EXPECT_TRUE(socket_of(copy, 0)->accept(caller_, 0));
  EXPECT_EQ(socket_of(copy, 0)->local_address()->bytes, address("@saved").bytes);
}

TEST_F(UnixSocketTest, CirclesInFlightAreSaved) {
  auto [a, b] = make_pair();
  ASSERT_TRUE(send_files(a, {b}));
  ASSERT_TRUE(send_files(b, {a}));
  const size_t before = in_flight::count();
  auto copy = save_and_load_files(process_with({a, b}));
  ASSERT_TRUE(copy);
  EXPECT_EQ(in_flight::count(), 2 * before);
  copy.reset();
  make().reset();  // Collects.
  EXPECT_EQ(in_flight::count(), before);
  a.reset(), b.reset();
  make().reset();
  EXPECT_EQ(in_flight::count(), 0u);
}

}  // namespace
}  // namespace usk
