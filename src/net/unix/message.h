// What waits in the queue of a unix socket.
#pragma once
#include <vector>

#include "base/budget.h"
#include "fs/vfs/socket.h"

namespace usk {

class UnixEndpoint;

// One send: bytes, and what travels with them. Charged to the sender's send buffer until it is
// received (UnixEndpoint::uncharge) and to kernel_memory().
struct UnixMessage {
  std::string data;
  size_t begin = 0;  // What of data was received already (streams).
  SocketAddress from;
  SocketCreds creds;
  std::vector<Ref<File>> files;
  Ref<UnixEndpoint> sender;
  size_t charged = 0;  // To the sender.
  Charge memory;

  size_t size() const { return data.size() - begin; }
  // Linux: about what a socket buffer of `n` bytes takes.
  static size_t cost(size_t n) { return 768 + (n > 128 ? n : 0); }
  USK_FIELDS(data, begin, from, creds, files, sender, charged, memory)
};

}  // namespace usk
