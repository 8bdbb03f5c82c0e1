// Sockets between processes of one user: unix(7), with descriptors as SCM_RIGHTS.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// A listening socket called `name` in the held directory, for its owner only. Non-blocking.
Result<UniqueFd> listen_local(const HostFd& dir, const std::string& name);
// A connection to it; blocking. ECONNREFUSED: nobody listens any more.
Result<UniqueFd> connect_local(const HostFd& dir, const std::string& name);
// The next connection, non-blocking. EAGAIN: there is none.
Result<UniqueFd> accept_local(int listener);
// Two connected ends, non-blocking.
Result<std::pair<UniqueFd, UniqueFd>> local_pair();
// Who connected: SO_PEERCRED.
Result<uint32_t> peer_uid(int socket);

// Sends what fits now; `fds` go with the first byte. EAGAIN on a full non-blocking socket.
Result<size_t> send_with_fds(int socket, std::span<const std::byte> bytes,
                             std::span<const int> fds);
struct ReceivedBytes {
  size_t size = 0;  // 0: the peer has closed.
  std::vector<UniqueFd> fds;
};
Result<ReceivedBytes> receive_with_fds(int socket, std::span<std::byte> dst);

}  // namespace usk::host
