// Options of level IPPROTO_TCP that depend on the connection, or are no number: tcp(7).
#include <linux/tcp.h>
#include <netinet/in.h>

#include <algorithm>

#include "net/inet/tcp_socket.h"

namespace usk {
namespace {

constexpr int kListen = 10;
// Linux: what fits a packet on the loopback device, less what TCP's own options take.
constexpr int kSegment = 65483, kFirstSegment = 536;
constexpr size_t kCongestionName = 16;

}  // namespace

void TcpSocket::options_changed() {
  const bool reuse = options_.flag(SO_REUSEADDR), share = options_.flag(SO_REUSEPORT);
  const int send = options_.send_buffer(), receive = options_.receive_buffer();
  const bool urgent_inline = options_.flag(SO_OOBINLINE);
  Lock lock(mu_);
  if (binding_) network_->tcp.set_reuse(*binding_, reuse, share);
  if (listener_) listener_->set_buffers(std::max(send, kTunedSendBuffer), receive, urgent_inline);
  if (connection_) connection_->set_buffers(side_, send, receive, urgent_inline);
}

std::string TcpSocket::info() {
  tcp_info i{};
  Lock lock(mu_);
  i.tcpi_state = 7;  // TCP_CLOSE
  i.tcpi_rto = 200000;
  i.tcpi_snd_mss = i.tcpi_advmss = i.tcpi_rcv_mss = kFirstSegment;
  i.tcpi_snd_cwnd = 10;
  if (listener_) {
    const auto waiting = listener_->facts();
    i.tcpi_state = kListen;
    i.tcpi_unacked = uint32_t(waiting.waiting);
    i.tcpi_sacked = uint32_t(waiting.backlog);
  } else if (connection_) {
    const auto f = connection_->facts(side_);
    i.tcpi_state = uint8_t(f.state);
    i.tcpi_options = TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE;
    i.tcpi_snd_mss = i.tcpi_advmss = i.tcpi_rcv_mss = kSegment;
    i.tcpi_pmtu = InetNetwork::kMtu - 1;
    i.tcpi_rtt = i.tcpi_min_rtt = 20;
    i.tcpi_rttvar = 10;
    i.tcpi_rcv_space = i.tcpi_rcv_ssthresh = uint32_t(f.receive_buffer) / 2;
    i.tcpi_snd_ssthresh = 0x7fffffff;
    i.tcpi_bytes_sent = i.tcpi_bytes_acked = f.sent;
    i.tcpi_bytes_received = f.received;
    i.tcpi_notsent_bytes = uint32_t(f.unsent);
  }
  return std::string(reinterpret_cast<const char*>(&i), sizeof i);
}

Result<std::string> TcpSocket::get_own_option(int level, int name, size_t room) {
  if (level != IPPROTO_TCP) return Err(ENOPROTOOPT);
  switch (name) {
    case TCP_INFO: {
      std::string all = info();
      all.resize(std::min(all.size(), room));
      return all;
    }
    case TCP_MAXSEG: {
      Lock lock(mu_);
      const int size = connection_ ? kSegment : segment_ ? segment_ : kFirstSegment;
      return inet_option_value(level, size, room);
    }
    case TCP_CONGESTION: {
      Lock lock(mu_);
      std::string name16 = congestion_;
      name16.resize(std::min(kCongestionName, room));
      return name16;
    }
    case TCP_ULP: return std::string();
    default: return Err(ENOPROTOOPT);
  }
}

Result<void> TcpSocket::set_own_option(Caller& caller, int level, int name,
                                       std::string_view value) {
  if (level != IPPROTO_TCP) return Err(ENOPROTOOPT);
  switch (name) {
    case TCP_CONGESTION: {
      if (value.empty()) return Err(EINVAL);
      std::string wanted(value.substr(0, std::min(value.find('\0'), kCongestionName - 1)));
      if (wanted != "cubic" && wanted != "reno") return Err(ENOENT);
      Lock lock(mu_);
      congestion_ = std::move(wanted);
      return {};
    }
    case TCP_MAXSEG: {
      const int size = TRY(option_int(value));
      if (size != 0 && (size < 88 || size > 32767)) return Err(EINVAL);
      Lock lock(mu_);
      segment_ = size;
      return {};
    }
    case TCP_REPAIR: return Err(network_->may_administer(caller.creds()) ? EOPNOTSUPP : EPERM);
    case TCP_ULP: return Err(ENOENT);
    default: return Err(ENOPROTOOPT);
  }
}

}  // namespace usk
