// What waits in the queue of a UDP socket.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/fields.h"
#include "fs/vfs/socket.h"
#include "net/inet/address.h"
#include "net/inet/inet_options.h"

namespace usk {

struct Datagram {
  std::string data;
  IpPort from, to;
  int64_t time = 0;  // CLOCK_REALTIME when it came.
  int hop_limit = 64;
  int traffic_class = 0;
  Charge memory;

  // Linux: about what a packet of `n` bytes takes of a receive buffer.
  static size_t cost(size_t n) { return 768 + (n > 256 ? n : 0); }
  USK_FIELDS(data, from, to, time, hop_limit, traffic_class, memory)
};

// What control messages of sendmsg(2) say of one packet: IP_PKTINFO, IP_TTL, IP_TOS and theirs of
// IPv6. EINVAL.
struct PacketWish {
  std::optional<IpAddress> source;
  std::optional<int> hop_limit, traffic_class;
};
Result<PacketWish> packet_wish(const ControlData& control, bool v6);

// What control messages of recvmsg(2) tell of one, as the socket's options ask.
std::vector<ControlData::Raw> describe(const Datagram& d, bool v6, const InetOptions& options);
ControlData::Raw timestamp(int64_t time, bool nanoseconds);
// Why a packet to `to` did not arrive: IP_RECVERR, IPV6_RECVERR.
ControlData::Raw describe_error(const IpPort& to, bool v6, int error);

}  // namespace usk
