// Messages of netlink(7): what is asked, and how answers are put together.
#pragma once
#include <linux/netlink.h>

#include <cstring>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "creds/creds.h"

namespace usk::netlink {

constexpr size_t aligned(size_t n) { return (n + NLMSG_ALIGNTO - 1) & ~size_t(NLMSG_ALIGNTO - 1); }

template <class T>
std::string bytes_of(const T& v) {
  return std::string(reinterpret_cast<const char*>(&v), sizeof v);
}

// One request, checked to be as long as it says.
struct Request {
  nlmsghdr header;
  std::string_view body;  // What follows the header.
  const Creds& creds;     // Whose it is.

  bool is_dump() const { return (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP; }
  // The family's own header; EINVAL where it is cut short.
  template <class T>
  Result<T> head() const {
    T v;
    if (body.size() < sizeof v) return Err(EINVAL);
    memcpy(&v, body.data(), sizeof v);
    return v;
  }
  // The attributes behind a header of that size, by type. The last of a type counts; EINVAL where
  // one is cut short.
  using Attributes = std::map<uint16_t, std::string_view>;
  Result<Attributes> attributes(size_t head_size) const;
};

// The answers to one request: datagrams, of which those of a dump hold many messages.
class Replies {
 public:
  Replies(const nlmsghdr& request, uint32_t port) : request_(request), port_(port) {}

  // Begins a message; what follows is its body, up to the next begin() or finish().
  void begin(uint16_t type, std::string_view head);
  void attribute(uint16_t type, std::string_view value);
  template <class T>
  void number(uint16_t type, T value) {
    attribute(type, bytes_of(value));
  }
  void text(uint16_t type, std::string_view value) { attribute(type, std::string(value) + '\0'); }

  // In words why the request fails, for who set NETLINK_EXT_ACK.
  void explain(std::string_view why) { why_ = why; }
  std::string_view why() const { return why_; }

  // The end of a dump: what is asked by NLM_F_DUMP has no end but this.
  void done();
  // NLMSG_ERROR for `error` (0: an acknowledgement); `whole`: with the request's `body`.
  void error(int error, std::string_view body, bool whole, std::string_view why = {});

  std::vector<std::string> take();

 private:
  static constexpr size_t kDatagram = 16 << 10;
  void finish();
  bool is_dump() const { return (request_.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP; }

  nlmsghdr request_;
  uint32_t port_;
  std::string message_, why_;
  std::vector<std::string> datagrams_;
};

}  // namespace usk::netlink
