#include "net/unix/socket_list.h"

#include "fs/vfs/socket_list.h"

namespace usk {
namespace {
SocketList<UnixSocket> sockets;
}  // namespace

void list_socket(UnixSocket& socket, bool alive) {
  alive ? sockets.add(socket) : sockets.remove(socket);
}

std::vector<Ref<UnixSocket>> all_unix_sockets(const UnixNamespace& names) {
  return sockets.all([&](UnixSocket& s) { return s.endpoint().names().get() == &names; });
}

}  // namespace usk
