#include "net/netlink/route.h"

#include <linux/rtnetlink.h>

namespace usk::netlink {
namespace {

// Types come in fours: new, delete, get, set.
bool is_question(uint16_t type) { return (type & 3) == 2; }

Result<void> answer(InetNetwork& network, const Request& request, Replies& replies) {
  switch (request.header.nlmsg_type) {
    case RTM_GETLINK: return list_links(network, request, replies);
    case RTM_GETADDR: return list_addresses(network, request, replies);
    case RTM_GETROUTE: return list_routes(network, request, replies);
    case RTM_GETRULE: return list_rules(request, replies);
    // There are none of these.
    case RTM_GETNEIGH:
    case RTM_GETNEIGHTBL:
    case RTM_GETQDISC:
    case RTM_GETTCLASS:
    case RTM_GETTFILTER:
    case RTM_GETNSID:
    case RTM_GETNETCONF:
    case RTM_GETADDRLABEL:
    case RTM_GETMDB:
    case RTM_GETNEXTHOP:
    case RTM_GETMULTICAST:
    case RTM_GETANYCAST: return request.is_dump() ? Result<void>() : Err(ENOENT);
    default: return Err(EOPNOTSUPP);
  }
}

Result<void> change(InetNetwork& network, const Request& request, Replies& replies) {
  switch (request.header.nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_SETLINK: return change_link(network, request);
    case RTM_NEWADDR: return add_address(network, request, replies);
    case RTM_DELADDR: return remove_address(network, request, replies);
    default: return Err(EOPNOTSUPP);
  }
}

}  // namespace

Result<void> serve_route(InetNetwork& network, const Request& request, Replies& replies) {
  const uint16_t type = request.header.nlmsg_type;
  if (request.body.empty()) return {};
  if (type > RTM_MAX) return Err(EOPNOTSUPP);
  if (is_question(type)) return answer(network, request, replies);
  if (!network.may_administer(request.creds)) return Err(EPERM);
  return change(network, request, replies);
}

}  // namespace usk::netlink
