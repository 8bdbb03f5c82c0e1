// The sockets of a family that there are, for who shows them: /proc/net, sock_diag(7).
#pragma once
#include <map>
#include <vector>

#include "base/lock.h"
#include "fs/vfs/socket.h"

namespace usk {

// Each is in it from its making, or its restoring, until its own destructor.
template <class T>
class SocketList {
 public:
  void add(T& socket) EXCLUDES(mu_) {
    Lock lock(mu_);
    sockets_.emplace(socket.id(), &socket);
  }
  // Nothing, if it is not there.
  void remove(T& socket) EXCLUDES(mu_) {
    Lock lock(mu_);
    const auto it = sockets_.find(socket.id());
    if (it != sockets_.end() && it->second == &socket) sockets_.erase(it);
  }
  // Those that `belongs` says yes to, in the order of their making. It is asked while nothing is
  // locked.
  template <class Belongs>
  std::vector<Ref<T>> all(const Belongs& belongs) EXCLUDES(mu_) {
    std::vector<Ref<T>> found;
    {
      Lock lock(mu_);
      for (auto& [id, socket] : sockets_) {
        if (socket->try_ref()) found.push_back(Ref<T>::adopt(socket));
      }
    }
    std::vector<Ref<T>> out;
    for (Ref<T>& socket : found) {
      if (belongs(*socket)) out.push_back(std::move(socket));
    }
    return out;
  }

 private:
  Mutex<Rank::kLeaf> mu_;
  std::map<uint64_t, T*> sockets_ GUARDED_BY(mu_);  // By File::id().
};

}  // namespace usk
