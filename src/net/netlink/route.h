// NETLINK_ROUTE: rtnetlink(7).
#pragma once
#include "net/inet/network.h"
#include "net/netlink/message.h"

namespace usk::netlink {

// What a request asks or changes of the network's device, addresses and routes. Changes take
// CAP_NET_ADMIN. EOPNOTSUPP for what there is none of.
Result<void> serve_route(InetNetwork& network, const Request& request, Replies& replies);

// Its parts: what there is (route_tables.cc), and changes (route_changes.cc).
Result<void> list_links(InetNetwork& network, const Request& request, Replies& replies);
Result<void> list_addresses(InetNetwork& network, const Request& request, Replies& replies);
Result<void> list_routes(InetNetwork& network, const Request& request, Replies& replies);
Result<void> list_rules(const Request& request, Replies& replies);
Result<void> change_link(InetNetwork& network, const Request& request);
Result<void> add_address(InetNetwork& network, const Request& request, Replies& replies);
Result<void> remove_address(InetNetwork& network, const Request& request, Replies& replies);

}  // namespace usk::netlink
