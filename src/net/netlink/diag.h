// NETLINK_SOCK_DIAG: sock_diag(7).
#pragma once
#include "net/inet/network.h"
#include "net/netlink/message.h"
#include "net/unix/unix_namespace.h"

namespace usk::netlink {

// Lists sockets. Only of the asker's network; ENOENT for families that have none.
Result<void> serve_diag(InetNetwork& network, UnixNamespace& names, const Request& request,
                        Replies& replies);

// Its parts.
Result<void> list_inet_sockets(InetNetwork& network, const Request& request, Replies& replies);
Result<void> list_unix_sockets(UnixNamespace& names, const Request& request, Replies& replies);

}  // namespace usk::netlink
