// Every way to each kind of access that a policy knows: what it is called, which categories are
// asked, and how it is done. Prints one line per way: NAME CATEGORIES RESULT.
//
// DIR/NAME holds what a way needs, made before: "f" a file, "d" an empty directory, "l" a link to
// f, "x" a program that exits with 0, "s" a script of it. TMP is an empty directory that can hold
// devices.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <string>

#include "tests/guest/policy/policy.h"

namespace {

using std::string;

struct Place {
  string dir;  // Of this way.
  string tmp;
  string f() const { return dir + "/f"; }
  string x() const { return dir + "/x"; }
  string fresh() const { return dir + "/new"; }
};

int open_strictly(const string& path, int flags, uint64_t resolve = 0) {
  open_how how{};
  how.flags = uint64_t(flags);
  how.resolve = resolve;
  return int(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

string self_fd(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

struct Inet {
  sockaddr_storage bytes{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&bytes); }
};

Inet loopback4(uint16_t port = 0) {
  Inet a;
  auto& in = reinterpret_cast<sockaddr_in&>(a.bytes);
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.size = sizeof in;
  return a;
}

Inet loopback6() {
  Inet a;
  auto& in = reinterpret_cast<sockaddr_in6&>(a.bytes);
  in.sin6_family = AF_INET6;
  in.sin6_addr = in6addr_loopback;
  a.size = sizeof in;
  return a;
}

// The descriptor, or -1.
int bound_inet(int type, const Inet& where) {
  const int fd = socket(where.bytes.ss_family, type, 0);
  return bind(fd, where.get(), where.size) ? -1 : fd;
}

int connect_tcp(bool accepts) {
  Inet where = loopback4();
  const int server = bound_inet(SOCK_STREAM, where), client = socket(AF_INET, SOCK_STREAM, 0);
  if (server < 0 || listen(server, 1)) return -1;
  getsockname(server, where.get(), &where.size);
  if (connect(client, where.get(), where.size)) return -1;
  return accepts ? accept(server, nullptr, nullptr) : 0;
}

int send_udp(bool by_message) {
  const int fd = socket(AF_INET, SOCK_DGRAM, 0);
  Inet to = loopback4(9);
  if (!by_message) return int(sendto(fd, "x", 1, 0, to.get(), to.size));
  char byte = 'x';
  iovec part = {&byte, 1};
  msghdr m{};
  m.msg_name = to.get();
  m.msg_namelen = to.size;
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  return int(sendmsg(fd, &m, 0));
}

// Runs `body` in a child that ends with what it left in errno.
template <class F>
int in_child(F body) {
  const pid_t pid = fork();
  if (pid == 0) {
    errno = 0;
    body();
    _exit(errno);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  errno = WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
  return errno ? -1 : 0;
}

int run(const string& path) {
  return in_child([&] { execl(path.c_str(), "x", nullptr); });
}

int unix_socket(int type, const string& path, bool connects) {
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  memcpy(a.sun_path, path.data(), path.size());
  const auto size = socklen_t(offsetof(sockaddr_un, sun_path) + path.size());
  const auto* to = reinterpret_cast<const sockaddr*>(&a);
  return connects ? connect(fd, to, size) : bind(fd, to, size);
}

int map_exec(const string& path, bool later) {
  const int fd = open(path.c_str(), O_RDONLY);
  if (fd < 0) return -1;
  void* at = mmap(nullptr, 4096, later ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED) return -1;
  return later ? mprotect(at, 4096, PROT_READ | PROT_EXEC) : 0;
}

int read_by_link(const Place& p) {
  const int fd = open(p.f().c_str(), O_PATH);
  if (fd < 0) return -1;
  return open(self_fd(fd).c_str(), O_RDONLY);
}

int pass_descriptor(bool receive) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) return -1;
  char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
  iovec iov{&byte, 1};
  msghdr m{};
  m.msg_iov = &iov, m.msg_iovlen = 1, m.msg_control = control, m.msg_controllen = sizeof control;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &pair[0], sizeof(int));
  if (sendmsg(pair[0], &m, 0) < 0) return -1;
  return receive ? int(recvmsg(pair[1], &m, 0)) : 0;
}

struct Way {
  const char *name, *categories;
  int (*go)(const Place& p);
};

const Way kWays[] = {
    {"open_read", "read", [](const Place& p) { return open(p.f().c_str(), O_RDONLY); }},
    {"open_readwrite", "read,write", [](const Place& p) { return open(p.f().c_str(), O_RDWR); }},
    {"open_write", "write", [](const Place& p) { return open(p.f().c_str(), O_WRONLY); }},
    {"openat2_read", "read", [](const Place& p) { return open_strictly(p.f(), O_RDONLY); }},
    {"openat2_no_links", "read",
     [](const Place& p) { return open_strictly(p.f(), O_RDONLY, RESOLVE_NO_SYMLINKS); }},
    {"open_through_link", "read",
     [](const Place& p) { return open((p.dir + "/l").c_str(), O_RDONLY); }},
    {"open_path", "stat", [](const Place& p) { return open(p.f().c_str(), O_PATH); }},
    {"reopen_path", "stat,read", read_by_link},
    {"open_by_root", "read",
     [](const Place& p) { return open(("/proc/self/root" + p.f()).c_str(), O_RDONLY); }},
    {"open_by_cwd", "chdir,read",
     [](const Place& p) { return chdir(p.dir.c_str()) ? -1 : open("f", O_RDONLY); }},
    {"open_creat_old", "write",
     [](const Place& p) { return open(p.f().c_str(), O_WRONLY | O_CREAT, 0600); }},
    {"open_creat_new", "create,write",
     [](const Place& p) { return open(p.fresh().c_str(), O_WRONLY | O_CREAT, 0600); }},
    {"creat_new", "create,write", [](const Place& p) { return creat(p.fresh().c_str(), 0600); }},
    {"mknod_file", "create",
     [](const Place& p) { return mknod(p.fresh().c_str(), S_IFREG | 0600, 0); }},
    {"open_truncate", "write,truncate",
     [](const Place& p) { return open(p.f().c_str(), O_WRONLY | O_TRUNC); }},
    {"truncate", "truncate", [](const Place& p) { return truncate(p.f().c_str(), 1); }},
    {"ftruncate", "write,truncate",
     [](const Place& p) {
       const int fd = open(p.f().c_str(), O_WRONLY);
       return fd < 0 ? -1 : ftruncate(fd, 1);
     }},
    {"tmpfile", "mktemp",
     [](const Place& p) { return open(p.tmp.c_str(), O_TMPFILE | O_RDWR, 0600); }},
    {"stat", "stat",
     [](const Place& p) {
       struct stat s;
       return stat(p.f().c_str(), &s);
     }},
    {"lstat", "stat",
     [](const Place& p) {
       struct stat s;
       return lstat((p.dir + "/l").c_str(), &s);
     }},
    {"fstat", "read,stat",
     [](const Place& p) {
       struct stat s;
       const int fd = open(p.f().c_str(), O_RDONLY);
       return fd < 0 ? -1 : fstat(fd, &s);
     }},
    {"statx", "stat",
     [](const Place& p) {
       struct statx s;
       return statx(AT_FDCWD, p.f().c_str(), 0, STATX_BASIC_STATS, &s);
     }},
    {"access", "stat", [](const Place& p) { return access(p.f().c_str(), R_OK); }},
    {"access_exists", "stat", [](const Place& p) { return access(p.f().c_str(), F_OK); }},
    {"statfs", "stat",
     [](const Place& p) {
       struct statfs s;
       return statfs(p.f().c_str(), &s);
     }},
    {"readlink", "readlink",
     [](const Place& p) {
       char to[100];
       return int(readlink((p.dir + "/l").c_str(), to, sizeof to));
     }},
    {"opendir", "readdir",
     [](const Place& p) { return open(p.dir.c_str(), O_RDONLY | O_DIRECTORY); }},
    {"open_directory", "readdir", [](const Place& p) { return open(p.dir.c_str(), O_RDONLY); }},
    {"chdir", "chdir", [](const Place& p) { return chdir(p.dir.c_str()); }},
    {"fchdir", "stat,chdir",
     [](const Place& p) {
       const int fd = open(p.dir.c_str(), O_PATH);
       return fd < 0 ? -1 : fchdir(fd);
     }},
    {"chroot", "chroot",
     [](const Place& p) { return in_child([&] { (void)!chroot(p.dir.c_str()); }); }},
    {"mkdir", "mkdir", [](const Place& p) { return mkdir(p.fresh().c_str(), 0700); }},
    {"rmdir", "rmdir", [](const Place& p) { return rmdir((p.dir + "/d").c_str()); }},
    {"unlinkat_dir", "rmdir",
     [](const Place& p) { return unlinkat(AT_FDCWD, (p.dir + "/d").c_str(), AT_REMOVEDIR); }},
    {"unlink", "delete", [](const Place& p) { return unlink(p.f().c_str()); }},
    {"rename", "rename", [](const Place& p) { return rename(p.f().c_str(), p.fresh().c_str()); }},
    {"rename_dir", "rename",
     [](const Place& p) { return rename((p.dir + "/d").c_str(), p.fresh().c_str()); }},
    {"exchange", "rename",
     [](const Place& p) {
       return renameat2(AT_FDCWD, p.f().c_str(), AT_FDCWD, (p.dir + "/x").c_str(), RENAME_EXCHANGE);
     }},
    {"link", "rename", [](const Place& p) { return link(p.f().c_str(), p.fresh().c_str()); }},
    {"link_by_fd", "stat,rename",
     [](const Place& p) {
       const int fd = open(p.f().c_str(), O_PATH);
       if (fd < 0) return -1;
       return linkat(AT_FDCWD, self_fd(fd).c_str(), AT_FDCWD, p.fresh().c_str(), AT_SYMLINK_FOLLOW);
     }},
    {"symlink", "symlink", [](const Place& p) { return symlink("/", p.fresh().c_str()); }},
    {"mkfifo", "mkfifo", [](const Place& p) { return mkfifo(p.fresh().c_str(), 0600); }},
    {"mkcdev", "mkcdev",
     [](const Place& p) { return mknod((p.tmp + "/c").c_str(), S_IFCHR | 0600, makedev(1, 3)); }},
    {"mkbdev", "mkbdev",
     [](const Place& p) { return mknod((p.tmp + "/b").c_str(), S_IFBLK | 0600, makedev(7, 0)); }},
    {"mknod_socket", "net/bind",
     [](const Place& p) { return mknod(p.fresh().c_str(), S_IFSOCK | 0600, 0); }},
    {"chmod", "chmod", [](const Place& p) { return chmod(p.f().c_str(), 0600); }},
    {"fchmod", "read,chmod",
     [](const Place& p) {
       const int fd = open(p.f().c_str(), O_RDONLY);
       return fd < 0 ? -1 : fchmod(fd, 0600);
     }},
    {"chown", "chown", [](const Place& p) { return chown(p.f().c_str(), 0, gid_t(-1)); }},
    {"chgrp", "chgrp", [](const Place& p) { return chown(p.f().c_str(), uid_t(-1), 0); }},
    {"utimes", "utime", [](const Place& p) { return utimes(p.f().c_str(), nullptr); }},
    {"futimens", "read,utime",
     [](const Place& p) {
       const int fd = open(p.f().c_str(), O_RDONLY);
       return fd < 0 ? -1 : futimens(fd, nullptr);
     }},
    {"setxattr", "chattr",
     [](const Place& p) { return setxattr(p.f().c_str(), "user.a", "b", 1, 0); }},
    {"listxattr", "read", [](const Place& p) { return int(listxattr(p.f().c_str(), nullptr, 0)); }},
    {"inotify", "!create,notify",
     [](const Place& p) {
       const int fd = inotify_init();
       return fd < 0 ? -1 : inotify_add_watch(fd, p.f().c_str(), IN_MODIFY);
     }},
    {"exec", "exec", [](const Place& p) { return run(p.x()); }},
    {"exec_script", "exec", [](const Place& p) { return run(p.dir + "/s"); }},
    {"exec_by_fd", "stat,exec",
     [](const Place& p) {
       const int fd = open(p.x().c_str(), O_PATH);
       if (fd < 0) return -1;
       return in_child([&] {
         char name[] = "x";
         char *args[] = {name, nullptr}, *env[] = {nullptr};
         syscall(SYS_execveat, fd, "", args, env, AT_EMPTY_PATH);
       });
     }},
    {"exec_by_link", "stat,exec",
     [](const Place& p) {
       const int fd = open(p.x().c_str(), O_PATH);
       return fd < 0 ? -1 : run(self_fd(fd));
     }},
    {"map_exec", "read,exec", [](const Place& p) { return map_exec(p.x(), false); }},
    {"map_then_exec", "read,exec", [](const Place& p) { return map_exec(p.x(), true); }},
    {"bind", "net/bind", [](const Place& p) { return unix_socket(SOCK_STREAM, p.fresh(), false); }},
    {"connect", "net/bind,net/connect",
     [](const Place& p) {
       if (unix_socket(SOCK_DGRAM, p.fresh(), false)) return -1;
       return unix_socket(SOCK_DGRAM, p.fresh(), true);
     }},
    {"bind_abstract", "@net/bind",
     [](const Place&) { return unix_socket(SOCK_DGRAM, string("\0way", 4), false); }},
    {"connect_abstract", "@net/bind,@net/connect",
     [](const Place&) {
       if (unix_socket(SOCK_DGRAM, string("\0way2", 5), false)) return -1;
       return unix_socket(SOCK_DGRAM, string("\0way2", 5), true);
     }},
    {"socketpair", "!net/bind",
     [](const Place&) {
       int pair[2];
       return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
     }},
    {"send_descriptor", "!net/bind,!sendfd", [](const Place&) { return pass_descriptor(false); }},
    {"receive_descriptor", "!net/bind,!sendfd,!recvfd",
     [](const Place&) { return pass_descriptor(true); }},
    {"bind_tcp", "#net/bind", [](const Place&) { return bound_inet(SOCK_STREAM, loopback4()); }},
    {"bind_tcp6", "#net/bind", [](const Place&) { return bound_inet(SOCK_STREAM, loopback6()); }},
    {"bind_udp", "#net/bind", [](const Place&) { return bound_inet(SOCK_DGRAM, loopback4()); }},
    {"connect_tcp", "#net/bind,#net/connect", [](const Place&) { return connect_tcp(false); }},
    {"accept_tcp", "#net/bind,#net/connect,#net/accept",
     [](const Place&) { return connect_tcp(true); }},
    {"connect_udp", "#net/connect",
     [](const Place&) {
       const int fd = socket(AF_INET, SOCK_DGRAM, 0);
       const Inet to = loopback4(9);
       return connect(fd, to.get(), to.size);
     }},
    {"sendto_udp", "#net/connect", [](const Place&) { return send_udp(false); }},
    {"sendmsg_udp", "#net/connect", [](const Place&) { return send_udp(true); }},
    {"sendto_udp_mapped", "#net/connect",
     [](const Place&) {
       const int fd = socket(AF_INET6, SOCK_DGRAM, 0);
       const Inet to = loopback4(9);
       return int(sendto(fd, "x", 1, 0, to.get(), to.size));
     }},
    {"netlink", "#net/link", [](const Place&) { return socket(AF_NETLINK, SOCK_RAW, 0); }},
    {"memfd", "!create", [](const Place&) { return memfd_create("way", 0); }},
    {"eventfd", "!create", [](const Place&) { return eventfd(0, 0); }},
    {"pipe", "!create",
     [](const Place&) {
       int ends[2];
       return pipe(ends);
     }},
};

}  // namespace

int try_ways(const char* dir, const char* tmp) {
  for (const Way& way : kWays) {
    const Place place{string(dir) + "/" + way.name, tmp};
    errno = 0;
    const int result = way.go(place);
    printf("%s %s %s\n", way.name, way.categories, result < 0 ? strerrorname_np(errno) : "OK");
    fflush(stdout);
    if (chdir("/")) return 1;
  }
  return 0;
}
