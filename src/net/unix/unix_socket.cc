#include "net/unix/unix_socket.h"

#include "fs/vfs/guard.h"

#include <linux/capability.h>
#include <linux/sockios.h>
#include <sys/un.h>

#include "fs/vfs/saving.h"
#include "net/unix/in_flight.h"
#include "net/unix/socket_list.h"

namespace usk {
namespace {

Result<int> checked_type(int type, int protocol) {
  if (protocol != 0 && protocol != PF_UNIX) return Err(EPROTONOSUPPORT);
  switch (type) {
    case SOCK_RAW: return SOCK_DGRAM;  // Linux: for programs of old.
    case SOCK_STREAM:
    case SOCK_DGRAM:
    case SOCK_SEQPACKET: return type;
    default: return Err(ESOCKTNOSUPPORT);
  }
}

// SO_PEERCRED tells effective ids, SCM_CREDENTIALS real ones.
SocketCreds effective(Caller& caller) {
  return {caller.process(), caller.creds().euid, caller.creds().egid};
}
SocketCreds real(Caller& caller) {
  return {caller.process(), caller.creds().uid, caller.creds().gid};
}

// Who may claim to be `who`: unix(7), SCM_CREDENTIALS.
Result<void> check_claim(Caller& caller, const SocketCreds& who) {
  const Creds& c = caller.creds();
  const bool uid = who.uid == c.uid || who.uid == c.euid || who.uid == c.suid;
  const bool gid = who.gid == c.gid || who.gid == c.egid || who.gid == c.sgid;
  if (who.pid != caller.process() && !c.capable(CAP_SYS_ADMIN)) return Err(EPERM);
  if (!uid && !c.capable(CAP_SETUID)) return Err(EPERM);
  if (!gid && !c.capable(CAP_SETGID)) return Err(EPERM);
  return {};
}

// The part of an address after the family; EINVAL for no unix address.
Result<std::string_view> name_of(const SocketAddress& address) {
  if (address.bytes.size() > sizeof(sockaddr_un) || address.family() != AF_UNIX) {
    return Err(EINVAL);
  }
  std::string_view name = std::string_view(address.bytes).substr(sizeof(sa_family_t));
  if (name.empty()) return Err(EINVAL);
  return name;
}

bool is_abstract(std::string_view name) { return name[0] == '\0'; }
Result<void> ask_abstract(Category what, std::string_view name) {
  return ask(what, "@" + std::string(name.substr(1)));
}
std::string_view as_path(std::string_view name) { return name.substr(0, name.find('\0')); }

SocketAddress shown(SocketAddress address) {
  if (!address.empty()) return address;
  const sa_family_t family = AF_UNIX;
  return {std::string(reinterpret_cast<const char*>(&family), sizeof family)};
}

}  // namespace

USK_SAVED(UnixSocket, "net/unix/socket")

OrFailure<void> UnixSocket::restored(state::Restored& r) {
  TRY(File::restored(r));
  if (!endpoint_ || !names_) return fail("a socket of nothing");
  list_socket(*this, true);
  return {};
}

UnixSocket::UnixSocket(Ref<UnixEndpoint> endpoint, int flags, Ref<const Creds> creds,
                       SocketCreds maker)
    : Socket(socket_path(*creds), flags, creds, AF_UNIX, endpoint->type(), 0),
      endpoint_(std::move(endpoint)),
      names_(endpoint_->names()),
      maker_(maker) {
  list_socket(*this, true);
}

UnixSocket::~UnixSocket() {
  list_socket(*this, false);
  endpoint_->close();
  in_flight::collect_garbage();
}

Result<Ref<Socket>> UnixSocket::make(Caller& caller, Ref<UnixNamespace> names, int type,
                                     int protocol, int flags) {
  auto endpoint = make_ref<UnixEndpoint>(TRY(checked_type(type, protocol)), std::move(names));
  return make_ref<UnixSocket>(std::move(endpoint), flags, Ref<const Creds>::share(&caller.creds()),
                              real(caller));
}

Result<std::pair<Ref<Socket>, Ref<Socket>>> UnixSocket::make_pair(Caller& caller,
                                                                  Ref<UnixNamespace> names,
                                                                  int type, int protocol,
                                                                  int flags) {
  Ref<Socket> a = TRY(make(caller, names, type, protocol, flags));
  Ref<Socket> b = TRY(make(caller, names, type, protocol, flags));
  UnixEndpoint::pair(static_cast<UnixSocket&>(*a).endpoint(),
                     static_cast<UnixSocket&>(*b).endpoint(), effective(caller),
                     caller.creds().groups);
  return std::pair{std::move(a), std::move(b)};
}

Result<void> UnixSocket::bind(Caller&, SocketNames& names, const SocketAddress& address) {
  if (address.bytes.size() == sizeof(sa_family_t) && address.family() == AF_UNIX) {
    TRY(ask(Category::kNetBind, "!unnamed"));
    return endpoint_->autobind();
  }
  const std::string_view name = TRY(name_of(address));
  if (is_abstract(name)) {
    TRY(ask_abstract(Category::kNetBind, name));
    return endpoint_->bind_abstract(std::string(name.substr(1)));
  }
  return endpoint_->bind_path(names, as_path(name));
}

Result<void> UnixSocket::listen(Caller& caller, int backlog) {
  return endpoint_->listen(backlog, effective(caller), caller.creds().groups);
}

Result<Ref<UnixEndpoint>> UnixSocket::find(SocketNames& names, const SocketAddress& address) {
  const std::string_view name = TRY(name_of(address));
  if (is_abstract(name)) {
    TRY(ask_abstract(Category::kNetConnect, name));
    return names_->find(type(), std::string(name.substr(1)));
  }
  const Path place = TRY(names.find_socket_node(as_path(name)));
  if (!S_ISSOCK(place.inode().type())) return Err(ECONNREFUSED);
  auto found = ref_cast<UnixEndpoint>(place.inode().attached());
  if (!found) return Err(ECONNREFUSED);
  if (found->type() != type()) return Err(EPROTOTYPE);
  return found;
}

Result<void> UnixSocket::connect(Caller& caller, SocketNames& names, const SocketAddress& address) {
  if (address.bytes.size() < sizeof(sa_family_t)) return Err(EINVAL);
  if (type() == SOCK_DGRAM) {
    if (address.family() == AF_UNSPEC) return endpoint_->connect_datagram({});
    if (endpoint_->options().flag(SO_PASSCRED)) TRY(endpoint_->autobind());
    return endpoint_->connect_datagram(TRY(find(names, address)));
  }
  Ref<UnixEndpoint> listener = TRY(find(names, address));
  return endpoint_->connect_stream(*listener, effective(caller), caller.creds().groups);
}

Result<Ref<Socket>> UnixSocket::accept(Caller& caller, int flags) {
  Ref<UnixEndpoint> server = TRY(endpoint_->accept());
  const int on = 1;
  for (int name : {SO_PASSCRED, SO_PASSSEC}) {
    if (!endpoint_->options().flag(name)) continue;
    TRY(server->options().set(name, {reinterpret_cast<const char*>(&on), sizeof on},
                              caller.creds()));
  }
  return make_ref<UnixSocket>(std::move(server), flags, Ref<const Creds>::share(&caller.creds()),
                              real(caller));
}

Result<SocketAddress> UnixSocket::local_address() { return shown(endpoint_->address()); }

Result<SocketAddress> UnixSocket::peer_address() { return shown(TRY(endpoint_->peer_address())); }

Result<size_t> UnixSocket::send(Caller& caller, SocketNames& names, SendArgs& args) {
  if (args.flags & MSG_OOB) return Err(EOPNOTSUPP);
  Ref<UnixEndpoint> to;
  if (!args.to.empty()) {
    if (type() == SOCK_STREAM) return Err(endpoint_->is_connected() ? EISCONN : EOPNOTSUPP);
    if (type() == SOCK_DGRAM) to = TRY(find(names, args.to));  // A packet's address is ignored.
  }
  SocketCreds creds = real(caller);
  if (args.control.creds) {
    TRY(check_claim(caller, *args.control.creds));
    creds = *args.control.creds;
  }
  if (type() != SOCK_STREAM && endpoint_->options().flag(SO_PASSCRED)) {
    TRY(endpoint_->autobind());
  }
  return endpoint_->send(args.data, std::move(to), std::move(args.control), creds);
}

Result<Socket::Received> UnixSocket::receive(Caller&, IoOut& data, int flags) {
  Received got = TRY(endpoint_->receive(data, flags));
  if (!endpoint_->options().flag(SO_PASSCRED)) got.control.creds.reset();
  return got;
}

Result<size_t> UnixSocket::read(IoOut& dst, uint64_t&) {
  Received got = TRY(endpoint_->receive(dst, 0));
  release_files(std::move(got.control.files));
  return got.bytes;
}

Result<size_t> UnixSocket::write(IoIn& src, uint64_t&) {
  return endpoint_->send(src, {}, {}, maker_);
}

Result<size_t> UnixSocket::write_by(Caller& caller, IoIn& src, uint64_t&) {
  return endpoint_->send(src, {}, {}, real(caller));
}

Result<int64_t> UnixSocket::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  switch (cmd) {
    case SIOCINQ: TRY(caller.put(arg, int(TRY(endpoint_->readable_bytes())))); return 0;
    case SIOCOUTQ: TRY(caller.put(arg, int(endpoint_->unsent_cost()))); return 0;
    default: return Err(ENOTTY);
  }
}

Result<std::string> UnixSocket::get_peer_option(Caller& caller, int name, size_t room) {
  const UnixEndpoint::Peer peer = endpoint_->peer_creds();
  const UserNamespace& ns = *caller.creds().user_ns;
  if (name == SO_PEERCRED) {
    if (!peer.known) return option_value(ucred{0, UINT32_MAX, UINT32_MAX}, room);
    const ucred shown{caller.process_to_guest(peer.creds.pid), ns.uid_out(peer.creds.uid),
                      ns.gid_out(peer.creds.gid)};
    return option_value(shown, room);
  }
  if (!peer.known) return Err(ENODATA);
  std::string groups;
  for (Gid gid : peer.groups) groups += option_value(ns.gid_out(gid), sizeof(Gid));
  if (groups.size() > room) return Err(ERANGE);
  return groups;
}

Result<std::string> UnixSocket::get_option(Caller& caller, int level, int name, size_t room) {
  if (level != SOL_SOCKET) return Err(EOPNOTSUPP);
  switch (name) {
    case SO_TYPE: return option_value(type(), room);
    case SO_DOMAIN: return option_value(domain(), room);
    case SO_PROTOCOL: return option_value(protocol(), room);
    case SO_ERROR: return option_value(endpoint_->take_error(), room);
    case SO_ACCEPTCONN: return option_value(int(endpoint_->is_listening()), room);
    case SO_PEERCRED:
    case SO_PEERGROUPS: return get_peer_option(caller, name, room);
    case SO_PEERNAME: {
      const std::string peer = TRY(peer_address()).bytes;
      if (peer.size() < room) return Err(EINVAL);
      return peer.substr(0, room);
    }
    case SO_BINDTODEVICE: return std::string();
    case SO_COOKIE:
      if (room < sizeof(uint64_t)) return Err(EINVAL);
      return option_value(id(), room);
    default: return endpoint_->options().get(name, room);
  }
}

Result<void> UnixSocket::set_option(Caller& caller, int level, int name, std::string_view value) {
  if (level != SOL_SOCKET) return Err(EOPNOTSUPP);
  if (name == SO_REUSEPORT && TRY(option_int(value)) != 0) return Err(EOPNOTSUPP);
  return endpoint_->options().set(name, value, caller.creds());
}

}  // namespace usk
