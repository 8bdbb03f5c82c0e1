// The netlink sockets there are.
#pragma once
#include "net/netlink/netlink_socket.h"

namespace usk {

// Kept by the constructor and destructor of NetlinkSocket.
void list_netlink_socket(NetlinkSocket& socket, bool alive);
// Whether no socket of the asker's protocol and network has it.
bool netlink_port_is_free(NetlinkSocket& asker, uint32_t port);

}  // namespace usk
