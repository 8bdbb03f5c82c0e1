// As much as can be had of everything that the kernel keeps for a program. Each is refused at some
// number, or costs so little that the observer, who watches the kernel process, does not mind.
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

// Until `once` fails, or `most` times.
void exhaust(const char* what, int most, const std::function<long()>& once) {
  int n = 0;
  errno = 0;
  while (n < most && once() >= 0) n++;
  printf("  %d %s%s%s\n", n, what, n < most ? ", then " : "",
         n < most ? strerrorname_np(errno) : "");
  fflush(stdout);
}

void all_descriptors_that_may_be() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void tasks(const Facts&) {
  exhaust("processes", 100'000, []() -> long {
    const pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    return pid;
  });
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  pthread_attr_setstacksize(&attr, 16384);
  exhaust("threads", 100'000, [&attr]() -> long {
    pthread_t thread;
    const auto wait = [](void*) -> void* { return pause(), nullptr; };
    errno = pthread_create(&thread, &attr, wait, nullptr);
    return errno ? -1 : 0;
  });
}

void touch() {
  exhaust("megabytes", 4096, []() -> long {
    void* const p =
        mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return -1;
    memset(p, 1, 1 << 20);
    return 0;
  });
}

void memory(const Facts&) {
  // In a process of its own: it is killed for it.
  const pid_t pid = fork();
  if (pid == 0) {
    touch();
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  exhaust("areas", 20'000, []() -> long {
    static int n = 0;
    const int prot = n++ % 2 ? PROT_READ : PROT_NONE;  // Neighbours do not become one.
    return mmap(nullptr, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
  });
}

void descriptors(const Facts&) {
  all_descriptors_that_may_be();
  exhaust("eventfds", 2'000'000, [] { return eventfd(0, 0); });
}

// More than a table holds: in tables of many processes.
void files(const Facts&) {
  all_descriptors_that_may_be();
  int ready[2];
  if (pipe(ready) != 0) return;
  exhaust("processes with 20,000 eventfds each", 400, [&ready]() -> long {
    const pid_t pid = fork();
    if (pid == 0) {
      int n = 0;
      while (n < 20'000 && eventfd(0, 0) >= 0) n++;
      const int error = n < 20'000 ? errno : 0;
      if (write(ready[1], &error, sizeof error) < 0) _exit(1);
      pause();
      _exit(0);
    }
    int error = 0;
    if (pid < 0 || read(ready[0], &error, sizeof error) < 0) return -1;
    errno = error;
    return error ? -1 : 0;
  });
}

// Long texts of /proc, which are kept for who reads them in pieces.
void texts(const Facts&) {
  all_descriptors_that_may_be();
  for (int i = 0; i < 20'000; i++) {
    mmap(nullptr, 4096, i % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  exhaust("readers of a long text", 20'000, []() -> long {
    const int fd = open("/proc/self/maps", O_RDONLY);
    char byte;
    return fd < 0 ? -1 : read(fd, &byte, 1);
  });
}

// What the kernel may remember of names: that there are none.
void names(const Facts&) {
  for (int i = 0; i < 200'000; i++) {
    struct stat st{};
    if (stat(("/tmp/no-such-file-with-a-rather-long-name-" + std::to_string(i)).c_str(), &st) ==
        0) {
      return;
    }
  }
}

// More than a table holds: in messages that nobody takes.
void descriptors_in_flight(const Facts&) {
  all_descriptors_that_may_be();
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
  const int buffer = 1 << 30;
  setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  char control[CMSG_SPACE(250 * sizeof(int))] = {};
  char byte = 'x';
  iovec data{&byte, 1};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const c = CMSG_FIRSTHDR(&message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(250 * sizeof(int));
  exhaust("messages of 250 descriptors", 50'000, [&]() -> long {
    int fds[250];
    for (int& fd : fds) fd = eventfd(0, 0);
    memcpy(CMSG_DATA(c), fds, sizeof fds);
    const long sent = sendmsg(pair[0], &message, MSG_DONTWAIT);
    const int error = errno;
    for (const int fd : fds) close(fd);
    errno = error;
    return sent;
  });
}

void inodes(const Facts&) {
  mkdir("/tmp/i", 0700);
  exhaust("files", 2'000'000, []() -> long {
    static int n = 0;
    return mknod(("/tmp/i/" + std::to_string(n++)).c_str(), S_IFREG | 0600, 0);
  });
  exhaust("links", 2'000'000, []() -> long {
    static int n = 0;
    return link("/tmp/i/0", ("/tmp/i/l" + std::to_string(n++)).c_str());
  });
  exhaust("attributes", 200'000, []() -> long {
    static int n = 0;
    return setxattr("/tmp", ("user." + std::to_string(n++)).c_str(), "x", 1, 0);
  });
}

void deep(const Facts&) {
  if (chdir("/tmp") != 0) return;
  exhaust("directories in each other", 100'000, []() -> long {
    if (mkdir("d", 0700) != 0) return -1;
    return chdir("d");
  });
}

void timers(const Facts&) {
  exhaust("timers", 1'000'000, []() -> long {
    timer_t t;
    sigevent e{};
    e.sigev_notify = SIGEV_SIGNAL;
    e.sigev_signo = SIGRTMIN;
    return timer_create(CLOCK_MONOTONIC, &e, &t);
  });
  all_descriptors_that_may_be();
  signal(SIGALRM, SIG_IGN);
  exhaust("quick timerfds", 2000, []() -> long {
    const int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    const itimerspec often{{0, 1}, {0, 1}};
    return fd < 0 ? fd : timerfd_settime(fd, 0, &often, nullptr);
  });
}

void signals(const Facts&) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  exhaust("pending signals", 5'000'000, [] { return sigqueue(getpid(), SIGRTMIN + 1, sigval{}); });
}

void locks(const Facts&) {
  const int fd = open("/tmp/locked", O_RDWR | O_CREAT, 0600);
  exhaust("records", 80'000, [fd]() -> long {
    static off_t at = 0;
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_start = 2 * at++;
    lock.l_len = 1;
    return fcntl(fd, F_SETLK, &lock);
  });
  all_descriptors_that_may_be();
  exhaust("locks of open files", 20'000, []() -> long {
    const int own = open("/tmp/also-locked", O_RDWR | O_CREAT, 0600);
    if (own < 0 || flock(own, LOCK_SH) != 0) return -1;
    static off_t at = 1 << 30;
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_start = 2 * at++;
    lock.l_len = 1;
    return own < 0 ? own : fcntl(own, F_OFD_SETLK, &lock);
  });
}

void inotify(const Facts&) {
  exhaust("inotify instances", 100'000, [] { return inotify_init1(0); });
  close(4);  // The last but one.
  const int fd = 3;
  exhaust("watches", 2'000'000, [fd]() -> long {
    static int n = 0;
    const string name = "/tmp/w" + std::to_string(n++);
    mknod(name.c_str(), S_IFREG | 0600, 0);
    return inotify_add_watch(fd, name.c_str(), IN_ALL_EVENTS);
  });
  exhaust("events", 100'000, []() -> long {
    const int watched = open("/tmp/w0", O_RDWR);
    return watched < 0 ? -1 : close(watched);
  });
}

void pipes(const Facts&) {
  all_descriptors_that_may_be();
  exhaust("full pipes", 100'000, []() -> long {
    int fds[2];
    if (pipe2(fds, O_NONBLOCK) != 0) return -1;
    fcntl(fds[0], F_SETPIPE_SZ, 1 << 20);
    static char block[65536];
    while (write(fds[1], block, sizeof block) > 0) {
    }
    return 0;
  });
}

void sockets(const Facts&) {
  all_descriptors_that_may_be();
  exhaust("full sockets", 20'000, []() -> long {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) != 0) return -1;
    const int buffer = 1 << 30;
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    static char block[65536];
    while (write(pair[0], block, sizeof block) > 0) {
    }
    return 0;
  });
}

void epolls(const Facts&) {
  all_descriptors_that_may_be();
  int below = epoll_create1(0);
  exhaust("epolls in each other", 100'000, [&below]() -> long {
    const int above = epoll_create1(0);
    epoll_event e{};
    e.events = EPOLLIN;
    if (above < 0 || epoll_ctl(above, EPOLL_CTL_ADD, below, &e) != 0) return -1;
    below = above;
    return 0;
  });
}

void ipc(const Facts&) {
  exhaust("shared memory segments", 100'000, [] { return shmget(IPC_PRIVATE, 4096, 0600); });
  exhaust("semaphore sets", 200'000, [] { return semget(IPC_PRIVATE, 250, 0600); });
  all_descriptors_that_may_be();
  exhaust("message queues", 100'000, []() -> long {
    static int n = 0;
    mq_attr attr{};
    attr.mq_maxmsg = 10;
    attr.mq_msgsize = 8192;
    return mq_open(("/q" + std::to_string(n++)).c_str(), O_CREAT | O_RDWR, 0600, &attr);
  });
}

void terminals(const Facts&) {
  all_descriptors_that_may_be();
  exhaust("terminals", 100'000, [] { return posix_openpt(O_RDWR | O_NOCTTY); });
}

void namespaces_and_mounts(const Facts&) {
  exhaust("user namespaces in each other", 1000, [] { return unshare(CLONE_NEWUSER); });
  exhaust("mount namespaces", 5000, [] { return unshare(CLONE_NEWNS); });
  mkdir("/tmp/t", 0700);
  exhaust("mounts", 5000, [] { return mount("none", "/tmp/t", "tmpfs", 0, nullptr); });
}

void arguments(const Facts&) {
  const string text(100 << 10, 'x');
  exhaust("long arguments", 100, [&text]() -> long {
    static int n = 1;
    std::vector<char*> argv(size_t(n++), const_cast<char*>(text.c_str()));
    argv.push_back(nullptr);
    const pid_t pid = fork();
    if (pid == 0) {
      char* none[] = {nullptr};
      execve("/bin/true", argv.data(), none);
      _exit(errno == E2BIG ? 7 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) == 7) errno = E2BIG;
    return WEXITSTATUS(status) == 7 ? -1 : 0;
  });
}

}  // namespace

std::vector<Attempt> exhaustion_attempts() {
  return {{"tasks", tasks},
          {"memory", memory},
          {"descriptors", descriptors},
          {"files", files},
          {"texts", texts},
          {"names", names},
          {"descriptors_in_flight", descriptors_in_flight},
          {"inodes", inodes},
          {"deep", deep},
          {"timers", timers},
          {"signals", signals},
          {"locks", locks},
          {"inotify", inotify},
          {"pipes", pipes},
          {"sockets", sockets},
          {"epolls", epolls},
          {"ipc", ipc},
          {"terminals", terminals},
          {"namespaces_and_mounts", namespaces_and_mounts},
          {"arguments", arguments}};
}
