#include "net/inet/inet_socket.h"

#include <linux/capability.h>
#include <netinet/in.h>

#include "fs/vfs/saving.h"
#include "fs/vfs/socket_list.h"
#include "net/inet/device_ioctl.h"

namespace usk {
namespace {
SocketList<InetSocket> sockets;
}  // namespace

InetSocket::InetSocket(Ref<InetNetwork> network, int flags, Ref<const Creds> creds, int domain,
                       int type, int protocol, int send_buffer, int receive_buffer)
    : Socket(socket_path(*creds), flags, creds, domain, type, protocol),
      network_(std::move(network)),
      options_(send_buffer, receive_buffer),
      queue_(make_ref<SocketQueue>()) {}

InetSocket::~InetSocket() { unlist(); }

void InetSocket::list() { sockets.add(*this); }
void InetSocket::unlist() { sockets.remove(*this); }

std::vector<Ref<InetSocket>> all_inet_sockets(const InetNetwork& network) {
  return sockets.all([&](InetSocket& s) { return &s.network() == &network; });
}

OrFailure<void> InetSocket::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!network_ || !queue_) return fail("a socket of no network");
  if (domain() != AF_INET && domain() != AF_INET6) return fail("a socket of another family");
  list();
  return {};
}

bool InetSocket::is_v6_only() const {
  return is_v6() && inet_options_.flag(IPPROTO_IPV6, IPV6_V6ONLY);
}

PortTable::Wish InetSocket::wish(const IpPort& local) const {
  return {.local = local,
          .v6_only = is_v6_only(),
          .reuse = options_.flag(SO_REUSEADDR),
          .share = options_.flag(SO_REUSEPORT),
          .uid = creds().fsuid};
}

Result<IpPort> InetSocket::address_to_bind(Caller& caller, const SocketAddress& address) {
  SocketAddress given = address;
  // Linux: programs of old leave the family of the wildcard out.
  if (!is_v6() && given.bytes.size() >= sizeof(sockaddr_in) && given.family() == AF_UNSPEC) {
    const sa_family_t family = AF_INET;
    memcpy(given.bytes.data(), &family, sizeof family);
    if (!TRY(parse_address(given, AF_INET)).address.is_any()) return Err(EAFNOSUPPORT);
  }
  const IpPort where = TRY(parse_address(given, domain()));
  if (is_v6_only() && where.address.is_v4()) return Err(EINVAL);
  const bool free = inet_options_.flag(IPPROTO_IP, IP_FREEBIND) ||
                    inet_options_.flag(IPPROTO_IPV6, IPV6_FREEBIND);
  const bool multicast = where.address.is_multicast();
  if (multicast && is_v6() && !where.address.is_v4() && type() == SOCK_STREAM) return Err(EINVAL);
  if (!network_->is_local(where.address) && !free && !multicast) return Err(EADDRNOTAVAIL);
  if (where.port != 0 && where.port < network_->settings.unprivileged_port_start &&
      !caller.creds().capable(CAP_NET_BIND_SERVICE, network_->owner())) {
    return Err(EACCES);
  }
  TRY(ask_address(Category::kNetBind, type() == SOCK_STREAM, where));
  return where;
}

Result<IpPort> InetSocket::destination(const SocketAddress& address, bool takes_v4) {
  IpPort to = TRY(parse_address(address, domain(), takes_v4));
  if (to.address.is_any()) to.address = IpAddress::loopback(!to.address.is_v4());
  if (is_v6_only() && to.address.is_v4()) {
    return Err(address.family() == AF_INET ? EAFNOSUPPORT : ENETUNREACH);
  }
  return to;
}

Result<int64_t> InetSocket::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  return device_ioctl(caller, *network_, cmd, arg);
}

Result<void> ask_address(Category what, bool tcp, const IpPort& where) {
  if (!installed_guard || !installed_guard->wants(what)) [[likely]]
    return {};
  policy::InetAddress a;
  a.protocol = tcp ? policy::Protocol::kTcp : policy::Protocol::kUdp;
  a.v6 = !where.address.is_v4();
  a.address = where.address.bytes;
  if (!a.v6) {
    a.address = {};
    std::copy_n(where.address.bytes.begin() + 12, 4, a.address.begin());
  }
  a.port = where.port;
  return installed_guard->address(what, a);
}

}  // namespace usk
