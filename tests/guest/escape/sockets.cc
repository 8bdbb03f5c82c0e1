// Sockets of the host, by every kind of address, and descriptors on their way through sockets.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

void connect_to(const string& path, bool abstract, int type) {
  const int fd = socket(AF_UNIX, type, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  char* const at = address.sun_path + (abstract ? 1 : 0);
  if (path.size() + 2 > sizeof address.sun_path) return;
  memcpy(at, path.data(), path.size());
  const auto size = socklen_t(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  must_fail(connect(fd, reinterpret_cast<sockaddr*>(&address), size),
            "connect to a socket outside");
  must_fail(sendto(fd, "x", 1, 0, reinterpret_cast<sockaddr*>(&address), size), "sendto there");
  close(fd);
}

// By its place, by links to it, by the inode in a shared directory, by its abstract name.
void unix_sockets(const Facts& f) {
  for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    for (const string& path : {f.dir + "/socket", f.box + "/socket", f.box + "/link/socket",
                               f.ro + "/up/socket", "/proc/self/root" + f.dir + "/socket"}) {
      connect_to(path, false, type);
    }
    connect_to(f.abstract, true, type);
  }
  // By a descriptor of the inode.
  const int place = open((f.box + "/socket").c_str(), O_PATH);
  if (place >= 0) connect_to("/proc/self/fd/" + std::to_string(place), false, SOCK_STREAM);
  must_fail(open((f.box + "/socket").c_str(), O_RDWR), "open of a socket");
}

// A fifo in a shared directory is the sandbox's own, or the host's by the flag that shares it; the
// one outside is nobody's.
void fifos(const Facts& f) {
  const int fd = open((f.dir + "/fifo").c_str(), O_RDWR | O_NONBLOCK);
  if (fd >= 0) escaped("the fifo outside opens");
}

void inet_sockets(const Facts& f) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(uint16_t(f.port));
  for (const char* host : {"127.0.0.1", "0.0.0.0", "127.1.2.3", "169.254.169.254", "10.0.0.1"}) {
    inet_pton(AF_INET, host, &address.sin_addr);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      const int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
      if (fd < 0) continue;
      const int done = connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
      (void)!send(fd, "x", 1, MSG_NOSIGNAL);
      // Whoever listens would have to answer: the observer says whether somebody came.
      pollfd p{fd, POLLOUT, 0};
      if (done < 0 && errno == EINPROGRESS) poll(&p, 1, 50);
      close(fd);
    }
  }
}

void other_families(const Facts&) {
  for (const int family : {AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_CAN, AF_TIPC, AF_XDP,
                           AF_KCM, AF_RDS, AF_NFC, AF_IEEE802154, AF_KEY}) {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET}) {
      must_fail(socket(family, type, 0), "a socket of another family");
    }
  }
  must_fail(socket(AF_INET, SOCK_RAW, IPPROTO_RAW), "a raw socket");
  must_fail(socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT), "the host's audit");
}

// A directory sent by one who is outside of a root to one inside stays within the sandbox; what was
// opened to be read is not written by whoever gets it.
void passed_descriptors(const Facts& f) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
  const pid_t pid = fork();
  char control[CMSG_SPACE(3 * sizeof(int))] = {};
  char byte = 'x';
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (pid == 0) {
    const int fds[3] = {open("/", O_PATH | O_DIRECTORY), open(f.ro.c_str(), O_RDONLY | O_DIRECTORY),
                        open((f.ro + "/kept").c_str(), O_RDONLY)};
    cmsghdr* const c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    (void)!sendmsg(pair[0], &message, 0);
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  mkdir("/tmp/empty", 0700);
  (void)!chroot("/tmp/empty");
  if (recvmsg(pair[1], &message, 0) < 0) return;
  int fds[3] = {-1, -1, -1};
  const cmsghdr* const c = CMSG_FIRSTHDR(&message);
  if (c) memcpy(fds, CMSG_DATA(c), sizeof fds);
  for (int i = 0; i < 2; i++) {
    show(openat(fds[i], ("../../../.." + f.dir + "/secret").c_str(), O_RDONLY),
         "by a passed directory");
    show(openat(fds[i], "link/secret", O_RDONLY), "by a passed directory's link");
    if (fchdir(fds[i]) == 0) show("../../../../../.." + f.dir + "/secret");
  }
  must_fail(openat(fds[1], "planted", O_CREAT | O_WRONLY, 0600), "a file by a passed directory");
  must_fail(openat(fds[1], "kept", O_RDWR), "writing by a passed directory");
  must_fail(write(fds[2], "x", 1), "writing to what was passed to be read");
  must_fail(ftruncate(fds[2], 0), "cutting what was passed to be read");
}

}  // namespace

std::vector<Attempt> socket_attempts() {
  return {{"unix_sockets", unix_sockets},
          {"fifos", fifos},
          {"inet_sockets", inet_sockets},
          {"other_families", other_families},
          {"passed_descriptors", passed_descriptors}};
}
