#include "net/inet/make_socket.h"

#include <linux/capability.h>
#include <netinet/in.h>

#include "net/inet/tcp_socket.h"
#include "net/inet/udp_socket.h"

namespace usk {

Result<Ref<Socket>> make_inet_socket(Caller& caller, Ref<InetNetwork> network, int domain, int type,
                                     int protocol, int flags) {
  if (protocol < 0 || protocol >= IPPROTO_MAX) return Err(EINVAL);
  auto creds = Ref<const Creds>::share(&caller.creds());
  switch (type) {
    case SOCK_STREAM:
      if (protocol != 0 && protocol != IPPROTO_TCP) return Err(EPROTONOSUPPORT);
      return Ref<Socket>(TcpSocket::make(std::move(network), flags, std::move(creds), domain));
    case SOCK_DGRAM:
      // Linux: net.ipv4.ping_group_range has nobody in it.
      if (protocol == (domain == AF_INET ? int(IPPROTO_ICMP) : int(IPPROTO_ICMPV6)))
        return Err(EACCES);
      if (protocol != 0 && protocol != IPPROTO_UDP) return Err(EPROTONOSUPPORT);
      return Ref<Socket>(UdpSocket::make(std::move(network), flags, std::move(creds), domain));
    case SOCK_RAW:
      if (protocol == 0) return Err(EPROTONOSUPPORT);
      if (!creds->capable(CAP_NET_RAW, network->owner())) return Err(EPERM);
      return Err(ESOCKTNOSUPPORT);
    default: return Err(ESOCKTNOSUPPORT);
  }
}

}  // namespace usk
