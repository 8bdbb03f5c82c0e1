// Sockets of any family, as socket(2) and its kin see them.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fs/vfs/caller.h"
#include "fs/vfs/file.h"
#include "fs/vfs/path.h"

namespace usk {

// A struct sockaddr with its family, as long as it was given; empty: none.
struct SocketAddress {
  std::string bytes;

  bool empty() const { return bytes.empty(); }
  sa_family_t family() const {
    sa_family_t f = AF_UNSPEC;
    if (bytes.size() >= sizeof f) memcpy(&f, bytes.data(), sizeof f);
    return f;
  }
  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;
  USK_FIELDS(bytes)
};

// SCM_CREDENTIALS and SO_PEERCRED, as kernel ids.
struct SocketCreds {
  int pid = 0;
  Uid uid = UINT32_MAX;
  Gid gid = UINT32_MAX;
  friend bool operator==(const SocketCreds&, const SocketCreds&) = default;
  USK_FIELDS(pid, uid, gid)
};

// Control messages of sendmsg(2) and recvmsg(2) that carry objects; others are bytes.
struct ControlData {
  std::vector<Ref<File>> files;      // SCM_RIGHTS
  std::optional<SocketCreds> creds;  // SCM_CREDENTIALS, ids translated by the syscall
  struct Raw {
    int level = 0, type = 0;
    std::string bytes;
  };
  std::vector<Raw> others;
};

// How AF_UNIX names in the file tree are found: the syscall layer walks paths.
class SocketNames {
 public:
  virtual ~SocketNames() = default;
  // bind(2): makes a node of type S_IFSOCK, mode 0777 less the umask. EADDRINUSE if the name is
  // taken.
  virtual Result<Path> make_socket_node(std::string_view path) = 0;
  // connect(2): the node at `path`, which the caller may write.
  virtual Result<Path> find_socket_node(std::string_view path) = 0;
};

// Where a socket stands, "socket:[INODE]": a fresh inode that belongs to `creds`.
Path socket_path(const Creds& creds);

// Every operation is one attempt: EAGAIN means to wait on queue() and ask again. MSG_DONTWAIT,
// MSG_WAITALL, time-outs and the repetition of partial sends are the caller's business, as is
// SIGPIPE (raises_sigpipe()).
class Socket : public File {
 public:
  Socket(Path path, int flags, Ref<const Creds> creds, int domain, int type, int protocol)
      : File(std::move(path), O_RDWR | (flags & O_NONBLOCK), kCanPoll, std::move(creds)),
        domain_(domain),
        type_(type),
        protocol_(protocol) {}
  explicit Socket(Blank b) : File(b), domain_(0), type_(0), protocol_(0) {}

  int domain() const { return domain_; }
  int type() const { return type_; }  // SOCK_*, without flags.
  int protocol() const { return protocol_; }
  // Whether EPIPE goes with SIGPIPE unless MSG_NOSIGNAL is given.
  bool raises_sigpipe() const { return type_ == SOCK_STREAM || type_ == SOCK_SEQPACKET; }

  virtual Result<void> bind(Caller&, SocketNames&, const SocketAddress& address) = 0;
  virtual Result<void> listen(Caller&, int backlog) { return Err(EOPNOTSUPP); }
  virtual Result<void> connect(Caller&, SocketNames&, const SocketAddress& address) = 0;
  // `flags`: O_NONBLOCK for the new file.
  virtual Result<Ref<Socket>> accept(Caller&, int flags) { return Err(EOPNOTSUPP); }
  virtual Result<SocketAddress> local_address() = 0;
  virtual Result<SocketAddress> peer_address() = 0;
  virtual Result<void> shutdown(int how) = 0;

  struct SendArgs {
    IoIn& data;
    SocketAddress to;
    ControlData control;
    int flags = 0;  // MSG_*
  };
  virtual Result<size_t> send(Caller&, SocketNames&, SendArgs& args) = 0;

  struct Received {
    size_t bytes = 0;  // What recvmsg(2) returns (with MSG_TRUNC, the whole packet's size).
    int flags = 0;     // MSG_TRUNC, MSG_EOR, ... for msg_flags.
    SocketAddress from;
    ControlData control;
  };
  // MSG_PEEK and MSG_TRUNC of `flags` count.
  virtual Result<Received> receive(Caller&, IoOut& data, int flags) = 0;

  // getsockopt(2) and setsockopt(2). `room` is the caller's buffer; the answer is at most as
  // long.
  virtual Result<std::string> get_option(Caller&, int level, int name, size_t room) = 0;
  virtual Result<void> set_option(Caller&, int level, int name, std::string_view value) = 0;
  // SO_RCVTIMEO and SO_SNDTIMEO in nanoseconds; 0: none.
  virtual int64_t receive_timeout() { return 0; }
  virtual int64_t send_timeout() { return 0; }

  Result<uint64_t> seek(int64_t, int) override { return Err(ESPIPE); }
  Result<void> truncate(uint64_t) override { return Err(EINVAL); }

  USK_FIELDS_OF(File, domain_, type_, protocol_)

 private:
  int domain_, type_, protocol_;
};

}  // namespace usk
