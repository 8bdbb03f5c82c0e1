// socket(2) for AF_INET and AF_INET6.
#pragma once
#include "net/inet/inet_socket.h"

namespace usk {

// ESOCKTNOSUPPORT, EPROTONOSUPPORT, EPERM (SOCK_RAW), EACCES (sockets of ping). `flags`:
// O_NONBLOCK.
Result<Ref<Socket>> make_inet_socket(Caller& caller, Ref<InetNetwork> network, int domain, int type,
                                     int protocol, int flags);

}  // namespace usk
