// Which netlink sockets there are, and which ports they have.
#include "net/netlink/socket_list.h"

#include "fs/vfs/socket_list.h"

namespace usk {
namespace {
SocketList<NetlinkSocket> sockets;
}  // namespace

void list_netlink_socket(NetlinkSocket& socket, bool alive) {
  alive ? sockets.add(socket) : sockets.remove(socket);
}

std::vector<Ref<NetlinkSocket>> all_netlink_sockets(const InetNetwork& network) {
  return sockets.all([&](NetlinkSocket& s) { return &s.network() == &network; });
}

bool netlink_port_is_free(NetlinkSocket& asker, uint32_t port) {
  for (auto& other : all_netlink_sockets(asker.network())) {
    if (other->protocol() == asker.protocol() && other->port() == port) return false;
  }
  return true;
}

}  // namespace usk
