#include "net/unix/socket_list.h"

#include <map>

namespace usk {
namespace {

Mutex<Rank::kLeaf> sockets_mutex;
std::map<uint64_t, UnixSocket*> sockets GUARDED_BY(sockets_mutex);  // By File::id().

}  // namespace

void list_socket(UnixSocket& socket, bool alive) {
  Lock lock(sockets_mutex);
  if (alive) {
    sockets.emplace(socket.id(), &socket);
  } else {
    sockets.erase(socket.id());
  }
}

std::vector<Ref<UnixSocket>> all_unix_sockets(const UnixNamespace& names) {
  std::vector<Ref<UnixSocket>> all;
  {
    Lock lock(sockets_mutex);
    for (auto& [id, socket] : sockets) {
      if (socket->try_ref()) all.push_back(Ref<UnixSocket>::adopt(socket));
    }
  }
  std::vector<Ref<UnixSocket>> out;
  for (Ref<UnixSocket>& s : all) {
    if (s->endpoint().names().get() == &names) out.push_back(std::move(s));
  }
  return out;
}

}  // namespace usk
