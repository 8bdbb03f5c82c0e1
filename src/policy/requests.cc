#include "policy/requests.h"

#include <fmt/format.h>
#include <linux/netlink.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "policy/glob.h"

namespace usk::policy {
namespace {

struct Request {
  std::string_view name;
  uint32_t number;
};
constexpr Request kRequests[] = {
#define REQUEST(name, number) {name, number},
#include "policy/ioctl_names.def"
#undef REQUEST
};

struct Family {
  std::string_view name;
  uint32_t number;
};
constexpr Family kFamilies[] = {
    {"route", NETLINK_ROUTE},
    {"usersock", NETLINK_USERSOCK},
    {"firewall", NETLINK_FIREWALL},
    {"sock_diag", NETLINK_SOCK_DIAG},
    {"nflog", NETLINK_NFLOG},
    {"xfrm", NETLINK_XFRM},
    {"selinux", NETLINK_SELINUX},
    {"iscsi", NETLINK_ISCSI},
    {"audit", NETLINK_AUDIT},
    {"fib_lookup", NETLINK_FIB_LOOKUP},
    {"connector", NETLINK_CONNECTOR},
    {"netfilter", NETLINK_NETFILTER},
    {"ip6_fw", NETLINK_IP6_FW},
    {"dnrtmsg", NETLINK_DNRTMSG},
    {"generic", NETLINK_GENERIC},
    {"kobject_uevent", NETLINK_KOBJECT_UEVENT},
    {"rdma", NETLINK_RDMA},
    {"scsitransport", NETLINK_SCSITRANSPORT},
    {"crypto", NETLINK_CRYPTO},
    {"ecryptfs", NETLINK_ECRYPTFS},
    {"smc", NETLINK_SMC},
};

std::optional<uint32_t> parse_number(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
  } else if (text.starts_with("0o")) {
    base = 8;
  }
  if (base != 10) text.remove_prefix(2);
  uint32_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

Parsed<> add_requests(std::string_view name, std::vector<uint32_t>& out) {
  if (const auto n = parse_number(name)) {
    out.push_back(*n);
    return {};
  }
  const bool may_be_unknown = name.ends_with('!');
  if (may_be_unknown) name.remove_suffix(1);
  std::string upper(name);
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return toupper(c); });
  const auto glob = parse_glob(upper);
  if (!glob) return std::unexpected(glob.error());
  const size_t before = out.size();
  for (const Request& r : kRequests) {
    const bool meant = glob->is_literal() ? r.name == upper : matches(*glob, r.name);
    if (meant) out.push_back(r.number);
  }
  if (out.size() == before && !may_be_unknown) {
    return std::unexpected(fmt::format("'{}' is no ioctl that is known here", name));
  }
  return {};
}

// Calls `add` for each element of a list with commas.
template <class Add>
Parsed<> for_each(std::string_view text, Add add) {
  while (true) {
    const size_t comma = text.find(',');
    if (Parsed<> ok = add(text.substr(0, comma)); !ok) return ok;
    if (comma == text.npos) return {};
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

Parsed<std::vector<uint32_t>> parse_requests(std::string_view text) {
  std::vector<uint32_t> out;
  Parsed<> ok = for_each(text, [&](std::string_view one) { return add_requests(one, out); });
  if (!ok) return std::unexpected(ok.error());
  return out;
}

std::string request_name(uint32_t request) {
  for (const Request& r : kRequests) {
    if (r.number == request) return std::string(r.name);
  }
  return fmt::format("{:#x}", request);
}

std::string_view requests_allowed_at_first() {
  return "FIOCLEX,FIONCLEX,FIONBIO,FIONREAD,FIOASYNC,FIOQSIZE,FIDEDUPERANGE!,PIDFD_GET_INFO!,"
         "RNDGETENTCNT";
}

std::string_view requests_denied_at_first() {
  return "FIFREEZE!,FITHAW!,FS_IOC_FIEMAP!,FIGETBSZ!,FICLONE!,FICLONERANGE!,FIBMAP!,"
         "FS_IOC_GETFSUUID!,FS_IOC_GETFSSYSFSPATH!,FS_IOC_FSGETXATTR!,FS_IOC_FSSETXATTR!,"
         "FS_IOC_SETFLAGS!,FS_IOC32_SETFLAGS!,KCOV_*!,DRM_IOCTL_GEM_CHANGE_HANDLE!,KDSETKEYCODE!,"
         "KDSIGACCEPT!,"
         "RNDADDTOENTCNT!,RNDGETPOOL!,RNDADDENTROPY!,RNDZAPENTCNT!,RNDCLEARPOOL!,"
         "SECCOMP_IOCTL_NOTIF_*!,TIOCCONS!,TIOCLINUX!,TIOCSETD!,TIOCSTI!,TIOCSSERIAL!";
}

std::string family_name(uint32_t family) {
  for (const Family& f : kFamilies) {
    if (f.number == family) return std::string(f.name);
  }
  return std::to_string(family);
}

Parsed<std::vector<uint32_t>> parse_families(std::string_view text) {
  std::vector<uint32_t> out;
  Parsed<> ok = for_each(text, [&](std::string_view one) -> Parsed<> {
    for (const Family& f : kFamilies) {
      if (one == f.name || one == "all") out.push_back(f.number);
    }
    if (one != "all" && std::ranges::none_of(kFamilies, [&](auto& f) { return f.name == one; })) {
      return std::unexpected(fmt::format("'{}' is no family of netlink", one));
    }
    return {};
  });
  if (!ok) return std::unexpected(ok.error());
  return out;
}

}  // namespace usk::policy
