// Datagrams from socket to socket: send(2), recv(2), IP_RECVERR of ip(7).
#include <netinet/in.h>

#include "base/timer.h"
#include "net/inet/udp_socket.h"

namespace usk {
namespace {

constexpr int kUdpCork = 1;                  // UDP_CORK
constexpr uint32_t kBroadcast = 0x7fffffff;  // Of the loopback network.

}  // namespace

bool UdpSocket::wants_errors() const {
  return inet_options_.flag(IPPROTO_IP, IP_RECVERR) ||
         inet_options_.flag(IPPROTO_IPV6, IPV6_RECVERR);
}

// Where a packet goes and comes from. EDESTADDRREQ, EINVAL, ENETUNREACH, EACCES, EPIPE, and the
// error of one that was sent before.
Result<DatagramRoute> UdpSocket::route(const SocketAddress& to, const PacketWish& wish) {
  DatagramRoute r;
  if (!to.empty()) {
    r.to = TRY(destination(to, true));
    if (r.to.port == 0) return Err(EINVAL);
    TRY(ask_address(Category::kNetConnect, false, r.to));
  }
  Lock lock(mu_);
  if (to.empty()) {
    if (remote_.port == 0) return Err(EDESTADDRREQ);
    r.to = remote_;
  }
  r.connected = remote_.port != 0;
  if (r.to.address == IpAddress::v4(kBroadcast) && !options_.flag(SO_BROADCAST)) {
    return Err(EACCES);
  }
  IpAddress source = TRY(network_->source_for(r.to.address));
  if (error_) return Err(std::exchange(error_, 0));
  if (shutdown_ & kNoSend) return Err(EPIPE);
  if (!binding_) TRY(take_port_locked({IpAddress::any(is_v6()), 0}));
  if (!binding_->local.address.is_any()) source = binding_->local.address;
  if (wish.source) {
    if (!network_->is_local(*wish.source)) return Err(EINVAL);
    source = *wish.source;
  }
  if (source.is_v4() != r.to.address.is_v4()) return Err(ENETUNREACH);
  r.from = {source, binding_->local.port};
  return r;
}

// The datagram that was held back, or one that begins now.
Result<HeldDatagram> UdpSocket::begin_datagram(const SocketAddress& to, const PacketWish& wish) {
  {
    Lock lock(mu_);
    if (corked_) {
      HeldDatagram held = std::move(*corked_);
      corked_.reset();
      return held;
    }
  }
  HeldDatagram c;
  c.route = TRY(route(to, wish));
  Datagram& d = c.datagram;
  d.from = c.route.from;
  d.to = c.route.to;
  d.hop_limit = wish.hop_limit.value_or(hop_limit_);
  const bool v4 = d.to.address.is_v4();
  const int tos = TRY(inet_options_.get({domain(), type()}, v4 ? IPPROTO_IP : IPPROTO_IPV6,
                                        v4 ? IP_TOS : IPV6_TCLASS));
  d.traffic_class = wish.traffic_class.value_or(tos);
  return c;
}

Result<size_t> UdpSocket::send_to(IoIn& data, const SocketAddress& to, const PacketWish& wish,
                                  int flags) {
  const size_t size = data.size();
  if (size > kMaxDatagram) return Err(EMSGSIZE);
  HeldDatagram c = TRY(begin_datagram(to, wish));
  Datagram& d = c.datagram;
  const size_t before = d.data.size();
  if (size > kMaxDatagram - before) return Err(EMSGSIZE);
  if (!d.memory.set(Datagram::cost(before + size))) return Err(ENOBUFS);
  Result<size_t> taken = 0;
  d.data.resize_and_overwrite(before + size, [&](char* p, size_t n) {
    taken = data.take(std::as_writable_bytes(std::span(p + before, n - before)));
    return before + taken.value_or(0);
  });
  if (TRY(taken) != size) return Err(EFAULT);
  if ((flags & MSG_MORE) || inet_options_.flag(IPPROTO_UDP, kUdpCork)) {
    Lock lock(mu_);
    corked_ = std::move(c);
  } else {
    send_datagram(std::move(c));
  }
  return size;
}

void UdpSocket::send_datagram(HeldDatagram c) {
  c.datagram.time = timer_service().now(CLOCK_REALTIME);
  auto receiver = ref_cast<UdpSocket>(network_->udp.find(c.route.to, c.route.from));
  if (receiver) {
    receiver->deliver(std::move(c.datagram));
  } else {
    ++network_->counts.udp_no_ports;
    note_unreachable(c.route, c.datagram.data);
  }
}

// Taking the cork out sends what it held back.
Result<void> UdpSocket::set_own_option(Caller&, int level, int name, std::string_view value) {
  if (level != IPPROTO_UDP || name != kUdpCork) return Err(ENOPROTOOPT);
  TRY(inet_options_.set({domain(), type()}, level, name, value));
  if (inet_options_.flag(level, name)) return {};
  std::optional<HeldDatagram> held;
  {
    Lock lock(mu_);
    held.swap(corked_);
  }
  if (held) send_datagram(std::move(*held));
  return {};
}

// What ICMP would tell of a packet that nobody waits for.
void UdpSocket::note_unreachable(const DatagramRoute& route, const std::string& data) {
  const bool queues = wants_errors();
  if (!queues && !route.connected) return;
  {
    Lock lock(mu_);
    error_ = ECONNREFUSED;
    if (queues && errors_.size() < kMaxErrors) {
      constexpr size_t kMostShown = 512;  // Of the packet, as ICMP sends it back.
      errors_.push_back({data.substr(0, kMostShown), route.to});
    }
  }
  queue_->queue.wake(POLLERR);
}

void UdpSocket::deliver(Datagram d) {
  const size_t cost = Datagram::cost(d.data.size());
  {
    Lock lock(mu_);
    if (used_ > size_t(options_.receive_buffer()) || (shutdown_ & kNoReceive)) {
      ++drops_;
      ++network_->counts.udp_full;
      return;
    }
    used_ += cost;
    messages_.push_back(std::move(d));
  }
  network_->counts.udp_in.fetch_add(1, std::memory_order_relaxed);
  queue_->queue.wake(kReadable);
}

Result<size_t> UdpSocket::send(Caller&, SocketNames&, SendArgs& args) {
  if (args.flags & MSG_OOB) return Err(EOPNOTSUPP);
  return send_to(args.data, args.to, TRY(packet_wish(args.control, is_v6())), args.flags);
}

Result<size_t> UdpSocket::write(IoIn& src, uint64_t&) { return send_to(src, {}, {}, 0); }

Result<Socket::Received> UdpSocket::receive_error(IoOut& data) {
  Undelivered u;
  {
    Lock lock(mu_);
    if (errors_.empty()) return Err(EAGAIN);
    u = std::move(errors_.front());
    errors_.pop_front();
    if (errors_.empty()) error_ = 0;
  }
  Received got;
  got.bytes = std::min(u.data.size(), data.size());
  TRY(data.put(std::as_bytes(std::span(u.data).first(got.bytes))));
  got.flags = MSG_ERRQUEUE | (got.bytes < u.data.size() ? MSG_TRUNC : 0);
  got.from = show_address(u.to, domain());
  got.control.others.push_back(describe_error(u.to, is_v6(), ECONNREFUSED));
  return got;
}

Result<Socket::Received> UdpSocket::receive_data(IoOut& data, int flags) {
  const bool peek = flags & MSG_PEEK;
  Received got;
  Datagram d;
  {
    Lock lock(mu_);
    if (error_) return Err(std::exchange(error_, 0));
    if (messages_.empty()) {
      if (shutdown_ & kNoReceive) return got;
      return Err(EAGAIN);
    }
    Datagram& front = messages_.front();
    if (peek) {
      d.data = front.data;
      d.from = front.from, d.to = front.to, d.time = front.time;
      d.hop_limit = front.hop_limit, d.traffic_class = front.traffic_class;
    } else {
      d = std::move(front);
      used_ -= Datagram::cost(d.data.size());
      messages_.pop_front();
    }
  }
  const size_t n = std::min(d.data.size(), data.size());
  // Linux: a packet that cannot be copied out is lost.
  if (TRY(data.put(std::as_bytes(std::span(d.data).first(n)))) < n) return Err(EFAULT);
  if (n < d.data.size()) got.flags |= MSG_TRUNC;
  got.bytes = flags & MSG_TRUNC ? d.data.size() : n;
  got.from = show_address(d.from, domain());
  if (options_.flag(SO_TIMESTAMPNS)) {
    got.control.others.push_back(timestamp(d.time, true));
  } else if (options_.flag(SO_TIMESTAMP)) {
    got.control.others.push_back(timestamp(d.time, false));
  }
  for (auto& one : describe(d, is_v6(), inet_options_)) {
    got.control.others.push_back(std::move(one));
  }
  return got;
}

Result<Socket::Received> UdpSocket::receive(Caller&, IoOut& data, int flags) {
  if (flags & MSG_OOB) return Err(EOPNOTSUPP);
  return flags & MSG_ERRQUEUE ? receive_error(data) : receive_data(data, flags);
}

Result<size_t> UdpSocket::read(IoOut& dst, uint64_t&) { return TRY(receive_data(dst, 0)).bytes; }

}  // namespace usk
