// The unix sockets there are, for /proc/net/unix.
#pragma once
#include <vector>

#include "net/unix/unix_socket.h"

namespace usk {

// Kept by the constructor and destructor of UnixSocket.
void list_socket(UnixSocket& socket, bool alive);
// Those of one network namespace, in order of their making.
std::vector<Ref<UnixSocket>> all_unix_sockets(const UnixNamespace& names);

}  // namespace usk
