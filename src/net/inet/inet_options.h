// Options of the levels IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP and IPPROTO_UDP: ip(7), ipv6(7),
// tcp(7), udp(7).
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/fields.h"
#include "base/lock.h"
#include "base/result.h"

namespace usk {

// Those that are a number which is kept and given back, within its limits. What depends on the
// socket's state, or is no number, is the socket's own.
class InetOptions {
 public:
  // Which level's options there are.
  struct Kind {
    int domain, type;
  };
  // ENOPROTOOPT: not one of these.
  Result<int> get(Kind kind, int level, int name) const EXCLUDES(mu_);
  Result<void> set(Kind kind, int level, int name, std::string_view value) EXCLUDES(mu_);
  bool flag(int level, int name) const EXCLUDES(mu_);
  void copy_from(const InetOptions& other) EXCLUDES(mu_);
  USK_FIELDS(values_)

 private:
  mutable Mutex<Rank::kLeaf> mu_;
  std::map<std::pair<int, int>, int> values_ GUARDED_BY(mu_);  // Those that were set.
};

// A number as getsockopt(2) of these levels gives it: one byte, where there is room for no more.
std::string inet_option_value(int level, int value, size_t room);

}  // namespace usk
