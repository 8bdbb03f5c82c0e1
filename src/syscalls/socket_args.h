// Addresses and control messages as the socket calls pass them.
#pragma once
#include "fs/vfs/socket.h"
#include "kernel/task/caller.h"
#include "syscalls/syscalls.h"

namespace usk {

// ENOTSOCK
Result<Ref<Socket>> get_socket(Task& t, Fd fd);

// A struct sockaddr of `size` bytes; EINVAL for a size that none has. Size 0: none.
Result<SocketAddress> get_address(Task& t, uint64_t addr, int32_t size);
// Writes as much of `from` as `*size` allows, and its whole size there.
Result<void> put_address(Task& t, const SocketAddress& from, uint64_t addr, UserPtr<int32_t> size);

// msg_control of sendmsg(2).
Result<ControlData> get_control(Task& t, uint64_t addr, uint64_t size);
// ... of recvmsg(2): what fits; MSG_CTRUNC in `flags` where something did not. Files become
// descriptors. Returns the bytes written.
Result<uint64_t> put_control(Task& t, ControlData control, uint64_t addr, uint64_t room,
                             bool cloexec, int& flags);

// How AF_UNIX paths are found for a task.
class TaskSocketNames final : public SocketNames {
 public:
  explicit TaskSocketNames(Task& t) : t_(t) {}
  Result<Path> make_socket_node(std::string_view path) override;
  Result<Path> find_socket_node(std::string_view path) override;

 private:
  Task& t_;
};

}  // namespace usk
