// Asking the kernel by netlink(7), for guest tests.
#pragma once
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <map>
#include <vector>

#include "tests/guest/harness.h"

namespace nl {

inline UniqueFd open_socket(int protocol = NETLINK_ROUTE) {
  UniqueFd fd(MUST(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)));
  sockaddr_nl a = {};
  a.nl_family = AF_NETLINK;
  MUST(bind(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a));
  return fd;
}

template <class T>
std::string bytes_of(const T& v) {
  return std::string(reinterpret_cast<const char*>(&v), sizeof v);
}

inline std::string attribute(uint16_t type, std::string_view value) {
  nlattr a = {uint16_t(sizeof a + value.size()), type};
  std::string out = bytes_of(a) + std::string(value);
  out.resize((out.size() + 3) & ~size_t(3));
  return out;
}

inline std::string message(uint16_t type, uint16_t flags, std::string_view body, uint32_t seq = 7) {
  nlmsghdr h = {uint32_t(sizeof h + body.size()), type, uint16_t(flags | NLM_F_REQUEST), seq, 0};
  return bytes_of(h) + std::string(body);
}

struct Answer {
  nlmsghdr header;
  std::string body;
  template <class T>
  T head() const {
    T v = {};
    memcpy(&v, body.data(), std::min(sizeof v, body.size()));
    return v;
  }
  std::map<int, std::string> attributes(size_t head) const {
    std::map<int, std::string> out;
    size_t at = (head + 3) & ~size_t(3);
    while (at + sizeof(nlattr) <= body.size()) {
      nlattr a;
      memcpy(&a, body.data() + at, sizeof a);
      if (a.nla_len < sizeof a || at + a.nla_len > body.size()) break;
      out[a.nla_type & NLA_TYPE_MASK] = body.substr(at + sizeof a, a.nla_len - sizeof a);
      at += (a.nla_len + 3u) & ~3u;
    }
    return out;
  }
  // Of an NLMSG_ERROR.
  int error() const { return -head<int>(); }
};

// What comes for one request: up to NLMSG_DONE, or one answer of others.
inline std::vector<Answer> ask(const UniqueFd& fd, std::string_view request) {
  MUST(send(fd.get(), request.data(), request.size(), 0));
  std::vector<Answer> out;
  for (;;) {
    std::string bytes(1 << 16, '\0');
    const ssize_t n = MUST(recv(fd.get(), bytes.data(), bytes.size(), 0));
    bool multi = false;
    for (size_t at = 0; at + sizeof(nlmsghdr) <= size_t(n);) {
      nlmsghdr h;
      memcpy(&h, bytes.data() + at, sizeof h);
      if (h.nlmsg_len < sizeof h) return out;
      out.push_back({h, bytes.substr(at + sizeof h, h.nlmsg_len - sizeof h)});
      multi = h.nlmsg_flags & NLM_F_MULTI;
      if (h.nlmsg_type == NLMSG_DONE) return out;
      at += (h.nlmsg_len + 3u) & ~3u;
    }
    if (!multi) return out;
  }
}

// The error that a request ends in; 0: it was acknowledged.
inline int result_of(const UniqueFd& fd, std::string_view request) {
  const auto answers = ask(fd, request);
  if (answers.empty() || answers[0].header.nlmsg_type != NLMSG_ERROR) return -1;
  return answers[0].error();
}

}  // namespace nl
