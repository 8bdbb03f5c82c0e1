// Any bytes as requests of rtnetlink(7) and sock_diag(7): they are answered or refused, and answers
// are whole.
#include <linux/netlink.h>

#include <cstring>

#include "base/check.h"
#include "base/fake_timers.h"
#include "net/netlink/diag.h"
#include "net/netlink/route.h"
#include "net/unix/endpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace usk;
  static FakeTimers timers;
  static const auto owner = UserNamespace::make_initial();
  static const auto creds = root_creds(owner);
  auto network = make_ref<InetNetwork>(owner, /*up=*/true);
  auto names = make_ref<UnixNamespace>();
  std::string_view rest(reinterpret_cast<const char*>(bytes), size);
  while (rest.size() >= sizeof(nlmsghdr)) {
    nlmsghdr h;
    memcpy(&h, rest.data(), sizeof h);
    if (h.nlmsg_len < sizeof h || h.nlmsg_len > rest.size()) break;
    const netlink::Request request{h, rest.substr(sizeof h, h.nlmsg_len - sizeof h), *creds};
    netlink::Replies replies(h, 1);
    (void)netlink::serve_route(*network, request, replies);
    (void)netlink::serve_diag(*network, *names, request, replies);
    for (const std::string& datagram : replies.take()) {
      CHECK(datagram.size() % NLMSG_ALIGNTO == 0 && datagram.size() >= sizeof(nlmsghdr));
    }
    rest = rest.substr(std::min(netlink::aligned(h.nlmsg_len), rest.size()));
  }
  return 0;
}
