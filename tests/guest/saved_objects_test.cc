// What files and processes have in them while the sandbox is saved and restored:
// docs/CHECKPOINTS.md.
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>

#include <algorithm>
#include <atomic>

#include "tests/guest/seccomp_filters.h"

namespace {

using namespace guest;

// What *-saved runs save here.
void checkpoint() { usleep(1000); }

std::string read_some(int fd, size_t most = 4096) {
  std::string text(most, 0);
  const ssize_t n = read(fd, text.data(), text.size());
  return n < 0 ? describe_errno(errno) : text.substr(0, size_t(n));
}

TEST(SavedObjects, InotifyQueue) {
  UniqueFd fd(MUST(inotify_init1(IN_NONBLOCK)));
  MUST(mkdir("watched", 0700));
  const int watch = MUST(inotify_add_watch(fd.get(), "watched", IN_CREATE | IN_MOVE));
  write_file("watched/a", "");
  MUST(rename("watched/a", "watched/b"));
  checkpoint();
  write_file("watched/c", "");
  const std::string events = read_some(fd.get());
  std::vector<std::string> names;
  std::vector<uint32_t> cookies;
  for (size_t at = 0; at + sizeof(inotify_event) <= events.size();) {
    inotify_event e;
    memcpy(&e, &events[at], sizeof e);
    EXPECT_EQ(e.wd, watch);
    names.push_back(&events[at + sizeof e]);
    if (e.cookie) cookies.push_back(e.cookie);
    at += sizeof e + e.len;
  }
  EXPECT_TRUE((names == std::vector<std::string>{"a", "a", "b", "c"}));
  EXPECT_TRUE(cookies.size() == 2 && cookies[0] == cookies[1]);
  EXPECT_OK(inotify_rm_watch(fd.get(), watch));
}

TEST(SavedObjects, LineBufferOfATerminal) {
  int master, slave;
  MUST(openpty(&master, &slave, nullptr, nullptr, nullptr));
  EXPECT_EQ(write(master, "half a lX", 9), 9);
  checkpoint();
  EXPECT_EQ(write(master, "\x7fine\nnext", 9), 9);
  EXPECT_EQ(read_some(slave), "half a line\n");
  winsize size = {.ws_row = 11, .ws_col = 22, .ws_xpixel = 0, .ws_ypixel = 0}, seen = {};
  MUST(ioctl(master, TIOCSWINSZ, &size));
  int on = 1;
  MUST(ioctl(master, TIOCPKT, &on));
  checkpoint();
  MUST(ioctl(slave, TIOCGWINSZ, &seen));
  EXPECT_EQ(int(seen.ws_col), 22);
  EXPECT_EQ(write(slave, "o\n", 2), 2);
  const std::string shown = read_some(master);
  EXPECT_EQ(int(shown[0]), TIOCPKT_DATA);
  close(slave);
  close(master);
}

void send_fd(int over, int fd) {
  char byte = 'f';
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  *header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  MUST(int(sendmsg(over, &message, 0)));
}

int receive_fd(int from) {
  char byte;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  MUST(int(recvmsg(from, &message, 0)));
  int fd = -1;
  if (message.msg_controllen) memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

TEST(SavedObjects, DescriptorsInFlight) {
  int outer[2], inner[2], fds[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, outer));
  MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, inner));
  MUST(pipe(fds));
  EXPECT_EQ(write(fds[1], "deep", 4), 4);
  send_fd(inner[0], fds[0]);  // In a message that waits in a socket that is in a message.
  close(fds[0]);
  send_fd(outer[0], inner[1]);
  close(inner[1]);
  checkpoint();
  UniqueFd socket(receive_fd(outer[1]));
  checkpoint();
  UniqueFd end(receive_fd(socket.get()));
  EXPECT_EQ(read_some(end.get()), "deep");
  EXPECT_EQ(write(fds[1], "x", 1), 1);
  close(fds[1]);
  close(inner[0]);
  close(outer[0]);
  close(outer[1]);
}

TEST(SavedObjects, SocketsWithConnectionsAndData) {
  sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "socket"};
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  UniqueFd listener(MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  MUST(bind(listener.get(), address, sizeof name));
  MUST(listen(listener.get(), 3));
  UniqueFd one(MUST(socket(AF_UNIX, SOCK_STREAM, 0))), two(MUST(socket(AF_UNIX, SOCK_STREAM, 0)));
  MUST(connect(one.get(), address, sizeof name));
  EXPECT_EQ(write(one.get(), "early", 5), 5);
  MUST(connect(two.get(), address, sizeof name));
  MUST(shutdown(two.get(), SHUT_WR));
  checkpoint();
  UniqueFd first(MUST(accept(listener.get(), nullptr, nullptr)));
  UniqueFd second(MUST(accept(listener.get(), nullptr, nullptr)));
  EXPECT_EQ(read_some(first.get()), "early");
  EXPECT_EQ(read_some(second.get()), "");
  ucred peer = {};
  socklen_t length = sizeof peer;
  MUST(getsockopt(first.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length));
  EXPECT_EQ(peer.pid, getpid());
}

TEST(SavedObjects, FilesWithoutNames) {
  UniqueFd fd(MUST(open("gone", O_CREAT | O_RDWR | O_APPEND, 0640)));
  EXPECT_EQ(write(fd.get(), "0123456789", 10), 10);
  EXPECT_EQ(lseek(fd.get(), 4, SEEK_SET), 4);
  MUST(unlink("gone"));
  UniqueFd other(MUST(dup(fd.get())));
  MUST(mkdir("away", 0700));
  UniqueFd directory(MUST(open("away", O_DIRECTORY)));
  MUST(rmdir("away"));
  UniqueFd fresh(MUST(open(".", O_TMPFILE | O_RDWR, 0600)));
  EXPECT_EQ(write(fresh.get(), "named later", 11), 11);
  checkpoint();
  EXPECT_EQ(read_some(other.get(), 3), "456");
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 7);
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_APPEND, O_APPEND);
  struct stat st;
  MUST(fstat(fd.get(), &st));
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_ERR(openat(directory.get(), "x", O_CREAT | O_RDWR, 0600), ENOENT);
  const std::string path = "/proc/self/fd/" + std::to_string(fresh.get());
  MUST(linkat(AT_FDCWD, path.c_str(), AT_FDCWD, "made", AT_SYMLINK_FOLLOW));
  EXPECT_EQ(read_file("made"), "named later");
}

TEST(SavedObjects, MemoryFilesAndSeals) {
  UniqueFd fd(MUST(memfd_create("sealed", MFD_ALLOW_SEALING)));
  MUST(ftruncate(fd.get(), 1 << 20));
  EXPECT_EQ(pwrite(fd.get(), "far", 3, 900000), 3);
  MUST(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  char* map =
      static_cast<char*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  ASSERT_NE(static_cast<void*>(map), MAP_FAILED);
  map[5] = 'm';
  checkpoint();
  EXPECT_EQ(std::string(map + 900000, 3), "far");
  EXPECT_EQ(map[5], 'm');
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
  EXPECT_ERR(ftruncate(fd.get(), 0), EPERM);
  map[6] = 'n';
  char byte = 0;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 6), 1);
  EXPECT_EQ(byte, 'n');
}

TEST(SavedObjects, KindsOfMemory) {
  const size_t size = 64 << 10;
  auto map = [&](int flags, int fd = -1) {
    void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) abandon();
    return static_cast<volatile char*>(p);
  };
  write_file("mapped", std::string(size, 'f'));
  UniqueFd fd(MUST(open("mapped", O_RDWR)));
  auto* shared = map(MAP_SHARED | MAP_ANONYMOUS);
  auto* copied = map(MAP_PRIVATE, fd.get());
  auto* of_file = map(MAP_SHARED, fd.get());
  auto* wiped = map(MAP_PRIVATE | MAP_ANONYMOUS);
  auto* kept_out = map(MAP_PRIVATE | MAP_ANONYMOUS);
  MUST(madvise(const_cast<char*>(wiped), size, MADV_WIPEONFORK));
  MUST(madvise(const_cast<char*>(kept_out), size, MADV_DONTFORK));
  copied[4096] = 'c';
  of_file[8192] = 'o';
  wiped[0] = kept_out[0] = 'w';
  MUST(mprotect(const_cast<char*>(kept_out) + 4096, 4096, PROT_NONE));
  const pid_t child = fork_child([&] {
    checkpoint();
    EXPECT_EQ(char(wiped[0]), '\0');
    while (shared[0] != 'p') usleep(1000);
    shared[1] = 'q';
  });
  checkpoint();
  shared[0] = 'p';
  EXPECT_EXITED(wait_for(child), 0);
  EXPECT_EQ(char(shared[1]), 'q');
  EXPECT_EQ(char(copied[4096]), 'c');
  EXPECT_EQ(char(copied[0]), 'f');
  EXPECT_EQ(char(wiped[0]), 'w');
  EXPECT_EQ(char(kept_out[0]), 'w');
  EXPECT_EQ(read_file("mapped")[8192], 'o');
  char byte = 'p';
  EXPECT_EQ(write(fd.get(), &byte, 1), 1);  // Seen through both, as it was not written to in one.
  EXPECT_EQ(char(of_file[0]), 'p');
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(write(fds[1], const_cast<char*>(kept_out) + 4096, 1), EFAULT);
  close(fds[0]);
  close(fds[1]);
}

TEST(SavedObjects, SystemVIpc) {
  const int segment = MUST(shmget(IPC_PRIVATE, 8192, 0600));
  char* at = static_cast<char*>(shmat(segment, nullptr, 0));
  MUST(shmctl(segment, IPC_RMID, nullptr));
  strcpy(at + 5000, "kept");
  const int sems = MUST(semget(IPC_PRIVATE, 2, 0600));
  const int queue = MUST(msgget(IPC_PRIVATE, 0600));
  struct {
    long type;
    char text[8];
  } message = {7, "message"}, got = {};
  MUST(msgsnd(queue, &message, sizeof message.text, 0));
  const pid_t child = fork_child([&] {
    sembuf up = {0, 3, SEM_UNDO};
    MUST(semop(sems, &up, 1));
    sembuf wait = {1, -1, 0};
    MUST(semop(sems, &wait, 1));
  });
  while (semctl(sems, 0, GETVAL) != 3) usleep(1000);
  checkpoint();
  EXPECT_EQ(std::string(at + 5000), "kept");
  EXPECT_EQ(semctl(sems, 1, GETNCNT), 1);
  sembuf go = {1, 1, 0};
  MUST(semop(sems, &go, 1));
  EXPECT_EXITED(wait_for(child), 0);
  EXPECT_EQ(semctl(sems, 0, GETVAL), 0);  // It was undone at the child's end.
  EXPECT_EQ(msgrcv(queue, &got, sizeof got.text, 7, IPC_NOWAIT), ssize_t(sizeof got.text));
  EXPECT_EQ(std::string(got.text), "message");
  MUST(semctl(sems, 0, IPC_RMID));
  MUST(msgctl(queue, IPC_RMID, nullptr));
  EXPECT_OK(shmdt(at));
}

TEST(SavedObjects, EpollKnowsWhatWasReported) {
  UniqueFd poll(MUST(epoll_create1(0))), outer(MUST(epoll_create1(0)));
  UniqueFd edge(MUST(eventfd(1, EFD_SEMAPHORE))), once(MUST(eventfd(1, 0)));
  epoll_event e = {.events = EPOLLIN | EPOLLET, .data = {.u64 = 1}};
  MUST(epoll_ctl(poll.get(), EPOLL_CTL_ADD, edge.get(), &e));
  e = {.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = 2}};
  MUST(epoll_ctl(poll.get(), EPOLL_CTL_ADD, once.get(), &e));
  e = {.events = EPOLLIN, .data = {.u64 = 3}};
  MUST(epoll_ctl(outer.get(), EPOLL_CTL_ADD, poll.get(), &e));
  epoll_event seen[4];
  EXPECT_EQ(epoll_wait(outer.get(), seen, 4, 0), 1);
  EXPECT_EQ(epoll_wait(poll.get(), seen, 4, 0), 2);
  checkpoint();
  EXPECT_EQ(epoll_wait(poll.get(), seen, 4, 0), 0);
  uint64_t more = 2;
  EXPECT_EQ(write(edge.get(), &more, sizeof more), ssize_t(sizeof more));
  EXPECT_EQ(epoll_wait(poll.get(), seen, 4, 0), 1);
  EXPECT_EQ(seen[0].data.u64, 1u);
  uint64_t value = 0;
  EXPECT_EQ(read(edge.get(), &value, sizeof value), ssize_t(sizeof value));
  EXPECT_EQ(value, 1u);
}

TEST(SavedObjects, QueuesOfMessagesAndSignals) {
  mq_attr attributes = {.mq_flags = 0, .mq_maxmsg = 4, .mq_msgsize = 32};
  const std::string name = "/saved-" + std::to_string(getpid());
  const mqd_t queue = mq_open(name.c_str(), O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attributes);
  ASSERT_GE(queue, 0);
  mq_unlink(name.c_str());
  MUST(mq_send(queue, "low", 3, 1));
  MUST(mq_send(queue, "high", 4, 9));
  block_signal(SIGUSR2);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  UniqueFd signals(MUST(signalfd(-1, &set, 0)));
  sigqueue(getpid(), SIGUSR2, {.sival_int = 5});
  checkpoint();
  char text[32];
  unsigned priority = 0;
  EXPECT_EQ(mq_receive(queue, text, sizeof text, &priority), 4);
  EXPECT_EQ(priority, 9u);
  signalfd_siginfo info = {};
  EXPECT_EQ(read(signals.get(), &info, sizeof info), ssize_t(sizeof info));
  EXPECT_EQ(info.ssi_int, 5);
  mq_close(queue);
}

TEST(SavedObjects, LocksOfDescriptors) {
  UniqueFd one(MUST(open("file", O_CREAT | O_RDWR, 0600))), two(MUST(open("file", O_RDWR)));
  MUST(flock(one.get(), LOCK_EX));
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 5, .l_len = 5};
  MUST(fcntl(one.get(), F_OFD_SETLK, &lock));
  checkpoint();
  EXPECT_ERR(flock(two.get(), LOCK_SH | LOCK_NB), EWOULDBLOCK);
  lock.l_start = 9;
  lock.l_len = 0;
  EXPECT_ERR(fcntl(two.get(), F_OFD_SETLK, &lock), EAGAIN);
  one.reset();
  EXPECT_OK(flock(two.get(), LOCK_SH | LOCK_NB));
  EXPECT_OK(fcntl(two.get(), F_OFD_SETLK, &lock));
}

TEST(SavedObjects, AttributesOfProcesses) {
  rlimit limit = {.rlim_cur = 77, .rlim_max = 88}, seen = {};
  MUST(setrlimit(RLIMIT_NOFILE, &limit));
  MUST(prctl(PR_SET_NAME, "saved name"));
  MUST(prctl(PR_SET_PDEATHSIG, SIGUSR1));
  MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
  MUST(prctl(PR_SET_TIMERSLACK, 12345));
  MUST(prctl(PR_SET_DUMPABLE, 0));
  MUST(setpriority(PRIO_PROCESS, 0, 7));
  umask(031);
  personality(ADDR_NO_RANDOMIZE);
  cpu_set_t all, first;
  MUST(sched_getaffinity(0, sizeof all, &all));
  CPU_ZERO(&first);
  for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&first) == 0; i++) {
    if (CPU_ISSET(i, &all)) CPU_SET(i, &first);
  }
  MUST(sched_setaffinity(0, sizeof first, &first));
  checkpoint();
  MUST(getrlimit(RLIMIT_NOFILE, &seen));
  EXPECT_TRUE(seen.rlim_cur == 77 && seen.rlim_max == 88);
  char name[16];
  MUST(prctl(PR_GET_NAME, name));
  EXPECT_EQ(std::string(name), "saved name");
  int value = 0;
  MUST(prctl(PR_GET_PDEATHSIG, &value));
  EXPECT_EQ(value, SIGUSR1);
  MUST(prctl(PR_GET_CHILD_SUBREAPER, &value));
  EXPECT_EQ(value, 1);
  EXPECT_EQ(prctl(PR_GET_TIMERSLACK), 12345);
  EXPECT_EQ(prctl(PR_GET_DUMPABLE), 0);
  EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 7);
  EXPECT_EQ(umask(0), mode_t(031));
  EXPECT_EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
  MUST(sched_getaffinity(0, sizeof all, &all));
  EXPECT_TRUE(CPU_EQUAL(&all, &first));
}

TEST(SavedObjects, CredentialsAndFilters) {
  NEEDS_CAPABILITY(21);  // CAP_SYS_ADMIN.
  EXPECT_EXITED(run_child([] {
                  const gid_t groups[] = {5, 6};
                  MUST(setgroups(2, groups));
                  MUST(prctl(PR_CAPBSET_DROP, 9));
                  MUST(setresgid(11, 12, 13));
                  MUST(setresuid(21, 22, 23));
                  confine(on_call(SYS_getppid, SECCOMP_RET_ERRNO | 55));
                  checkpoint();
                  uid_t r, e, s;
                  MUST(getresuid(&r, &e, &s));
                  EXPECT_TRUE(r == 21 && e == 22 && s == 23);
                  gid_t list[4];
                  EXPECT_EQ(getgroups(4, list), 2);
                  EXPECT_EQ(prctl(PR_CAPBSET_READ, 9), 0);
                  EXPECT_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
                  EXPECT_EQ(prctl(PR_GET_SECCOMP), 2);
                  EXPECT_ERR(syscall(SYS_getppid), 55);
                }),
                0);
}

TEST(SavedObjects, NamespacesAndMounts) {
  NEEDS_CAPABILITY(21);
  EXPECT_EXITED(run_child([] {
                  MUST(unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC));
                  MUST(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr));
                  MUST(sethostname("inside", 6));
                  MUST(mkdir("at", 0700));
                  MUST(mkdir("bound", 0700));
                  MUST(mount("none", "at", "tmpfs", MS_NOSUID, "size=64k"));
                  write_file("at/file", "in it");
                  MUST(mount("at", "bound", nullptr, MS_BIND, nullptr));
                  MUST(mount(nullptr, "bound", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr));
                  MUST(chdir("bound"));
                  checkpoint();
                  char name[65];
                  MUST(gethostname(name, sizeof name));
                  EXPECT_EQ(std::string(name), "inside");
                  EXPECT_EQ(read_file("file"), "in it");
                  EXPECT_ERR(open("file", O_WRONLY), EROFS);
                  MUST(chdir(".."));
                  write_file("at/file", "changed");
                  EXPECT_EQ(read_file("bound/file"), "changed");
                  UniqueFd fd(MUST(open("at/big", O_CREAT | O_WRONLY, 0600)));
                  EXPECT_ERR(fallocate(fd.get(), 0, 0, 1 << 20), ENOSPC);
                  fd.reset();
                  EXPECT_OK(umount("bound"));
                  EXPECT_OK(umount("at"));
                }),
                0);
}

TEST(SavedObjects, DirectoriesThatAreRead) {
  MUST(mkdir("many", 0700));
  for (int i = 0; i < 300; i++) write_file(("many/" + std::to_string(i)).c_str(), "");
  UniqueFd fd(MUST(open("many", O_RDONLY | O_DIRECTORY)));
  std::vector<std::string> names;
  alignas(8) char buffer[1024];
  for (;;) {
    const long n = syscall(SYS_getdents64, fd.get(), buffer, sizeof buffer);
    ASSERT_GE(n, 0);
    if (n == 0) break;
    for (long at = 0; at < n;) {
      unsigned short length;
      memcpy(&length, buffer + at + 16, sizeof length);
      names.push_back(buffer + at + 19);
      at += length;
    }
    if (names.size() < 100) checkpoint();
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names.size(), 302u);
  EXPECT_TRUE(std::unique(names.begin(), names.end()) == names.end());
}

}  // namespace
