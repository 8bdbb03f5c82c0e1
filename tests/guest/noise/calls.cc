// Random system calls, for a sandbox: calls SEED MILLISECONDS. Never outside: it signals, mounts
// and sets clocks as it comes.
//
// Each round is a process with descriptors of every kind, and with relatives in every state of
// life: running, stopped, a zombie, and one whose first thread alone has ended.
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pty.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <iterator>
#include <thread>

namespace {

constexpr long kCalls = 463, kCallsInRound = 400, kRoundMs = 300;
constexpr size_t kPage = 4096, kPages = 256;
constexpr const char* kPaths[] = {"/",
                                  "/tmp",
                                  "/tmp/a",
                                  "/tmp/b/c",
                                  "/proc/self/status",
                                  "/dev/null",
                                  "/dev/ptmx",
                                  "/proc/self/fd/3",
                                  "/proc/self/mem",
                                  "/tmp/socket",
                                  "..",
                                  "",
                                  "/proc/self/exe",
                                  "/sys",
                                  "/etc/passwd",
                                  "/tmp/link",
                                  "/dev/shm/x",
                                  "/proc/self/task",
                                  "/proc/1/root",
                                  "/proc/self/cwd",
                                  "/dev/tty",
                                  "/tmp/fifo",
                                  "/proc/self/ns/net",
                                  "/proc/sys/kernel/hostname"};

uint64_t g_state;
int g_files[96];
size_t g_file_count;
pid_t g_relatives[4];
long g_ids[3];
char* g_memory;

uint32_t any() {
  g_state = g_state * 6364136223846793005 + 1442695040888963407;
  return uint32_t(g_state >> 33);
}
uint32_t below(uint32_t n) { return any() % n; }
bool one_in(uint32_t n) { return below(n) == 0; }

int64_t now_ms() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * int64_t{1000} + t.tv_nsec / 1'000'000;
}

void keep(long fd) {
  if (fd >= 0 && g_file_count < std::size(g_files)) g_files[g_file_count++] = int(fd);
}
void keep_both(const int (&pair)[2]) {
  for (int fd : pair) {
    fcntl(fd, F_SETFL, O_NONBLOCK);
    keep(fd);
  }
}

void make_sockets() {
  int pair[2];
  for (int type : {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET}) {
    if (socketpair(AF_UNIX, type, 0, pair) == 0) keep_both(pair);
  }
  for (int family : {AF_INET, AF_INET6, AF_UNIX}) {
    for (int type : {SOCK_STREAM, SOCK_DGRAM}) keep(socket(family, type | SOCK_NONBLOCK, 0));
  }
  keep(socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, 0));
  const int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  socklen_t size = sizeof address;
  listen(listener, 5);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  connect(client, reinterpret_cast<sockaddr*>(&address), size);
  keep_both({listener, client});
}

void make_files() {
  int pair[2];
  if (pipe(pair) == 0) keep_both(pair);
  if (openpty(&pair[0], &pair[1], nullptr, nullptr, nullptr) == 0) keep_both(pair);
  sigset_t all;
  sigfillset(&all);
  keep(epoll_create1(0));
  keep(eventfd(0, EFD_NONBLOCK));
  keep(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  keep(signalfd(-1, &all, SFD_NONBLOCK));
  keep(inotify_init1(IN_NONBLOCK));
  keep(memfd_create("noise", MFD_ALLOW_SEALING));
  keep(mq_open("/noise", O_RDWR | O_CREAT | O_NONBLOCK, 0600, nullptr));
  keep(open("/tmp", O_TMPFILE | O_RDWR, 0600));
  keep(open("/tmp/b", O_PATH));
  keep(open("/tmp/a", O_RDWR | O_CREAT, 0666));
  for (const char* path :
       {"/tmp", "/proc/self/ns/mnt", "/proc/self/ns/user", "/proc/self/status"}) {
    keep(open(path, O_RDONLY));
  }
  for (const char* path : {"/proc/self/mem", "/dev/null", "/dev/zero", "/dev/tty", "/tmp/fifo"}) {
    keep(open(path, O_RDWR | O_NONBLOCK));
  }
  keep(syscall(SYS_fsopen, "tmpfs", 0));
  keep(syscall(SYS_open_tree, AT_FDCWD, "/tmp", 1));
  keep(syscall(SYS_userfaultfd, 0));
  g_ids[0] = shmget(IPC_PRIVATE, 65536, IPC_CREAT | 0600);
  g_ids[1] = semget(IPC_PRIVATE, 3, IPC_CREAT | 0600);
  g_ids[2] = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
}

void make_relatives() {
  auto child = [](auto body) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      body();
      for (;;) pause();
    }
    keep(syscall(SYS_pidfd_open, pid, 0));
    return pid;
  };
  g_relatives[0] = child([] {});
  g_relatives[1] = child([] { raise(SIGSTOP); });
  g_relatives[2] = child([] { _exit(3); });
  g_relatives[3] = child([] {
    std::thread([] {
      for (;;) pause();
    }).detach();
    syscall(SYS_exit, 0);
  });
}

int a_file() { return g_file_count ? g_files[below(uint32_t(g_file_count))] : -1; }
char* a_page() { return g_memory + below(kPages - 16) * kPage; }

long a_number() {
  switch (below(7)) {
    case 0: return 0;
    case 1: return below(16);
    case 2: return 1l << below(32);
    case 3: return -1;
    case 4: return any();
    case 5: return long(uint64_t(any()) << 32 | any());
    default: return below(4096);
  }
}

// What a structure might hold.
char* a_structure() {
  char* at = a_page();
  const uint32_t kind = below(5);
  for (size_t i = 0; i < 256; i += 8) {
    const long words[] = {0,        a_number(),           long(a_page()), long(below(8)),
                          a_file(), g_relatives[below(4)]};
    const long word = kind == 0 ? 0 : words[kind == 1 ? 1 : below(6)];
    memcpy(at + i, &word, sizeof word);
  }
  if (one_in(3)) {
    const sockaddr_in address{
        AF_INET, htons(uint16_t(1000 + below(100))), {htonl(INADDR_LOOPBACK)}, {}};
    memcpy(at, &address, sizeof address);
  } else if (one_in(4)) {
    const sockaddr_un address{AF_UNIX, "/tmp/socket"};
    memcpy(at, &address, sizeof address);
  }
  return at;
}

long an_argument() {
  switch (below(10)) {
    case 0:
    case 1: return a_file();
    case 2:
    case 3: return long(a_structure());
    case 4: return long(strcpy(a_page(), kPaths[below(std::size(kPaths))]));
    case 5: return a_number();
    case 6: return below(64);
    case 7: return one_in(2) ? long(g_memory + kPages * kPage - below(64)) : g_ids[below(3)];
    case 8: return one_in(3) ? AT_FDCWD : g_relatives[below(4)];
    default: return one_in(2) ? getpid() : 0;
  }
}

// Calls that would only end the round.
bool is_boring(long nr) {
  switch (nr) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
    case SYS_pause:
    case SYS_rt_sigsuspend:
    case SYS_vfork: return true;
    case SYS_fork:
    case SYS_clone:
    case SYS_clone3: return !one_in(8);
    default: return false;
  }
}

void make_calls(long count) {
  const pid_t self = getpid();
  for (long i = 0; i < count; i++) {
    const long nr = below(kCalls);
    if (is_boring(nr)) continue;
    for (int again = one_in(4) ? 4 : 1; again > 0; again--) {
      const long first = an_argument();
      if (nr == SYS_kill && int(first) <= 1) continue;  // All of them would be gone.
      syscall(nr, first, an_argument(), an_argument(), an_argument(), an_argument(), an_argument());
      if (getpid() != self) _exit(0);
    }
  }
}

[[noreturn]] void play_round() {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  g_memory = static_cast<char*>(mmap(nullptr, (kPages + 1) * kPage, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  mprotect(g_memory + kPages * kPage, kPage, PROT_NONE);
  make_relatives();
  make_files();
  make_sockets();
  if (one_in(4)) std::thread([] { make_calls(kCallsInRound / 2); }).detach();
  if (one_in(8)) unshare(int(below(1u << 31)) & 0x7e020000);
  make_calls(kCallsInRound);
  _exit(0);
}

void rounds(uint64_t seed, int64_t end_ms) {
  const int null = open("/dev/null", O_RDWR);
  for (int fd : {0, 1, 2}) dup2(null, fd);
  mkdir("/tmp/b", 0777);
  symlink("/tmp/a", "/tmp/link");
  mkfifo("/tmp/fifo", 0666);
  for (uint64_t round = 0; now_ms() < end_ms; round++) {
    const pid_t pid = fork();
    if (pid == 0) {
      g_state = seed * 1'000'003 + round * 7919;
      for (int i = 0; i < 10; i++) any();
      play_round();
    }
    const int64_t begin = now_ms();
    // Its threads may have made this process their tracer, which has to wait for them, too.
    for (pid_t ended = 0; ended != pid;) {
      ended = waitpid(-1, nullptr, WNOHANG | __WALL);
      if (ended > 0) continue;
      if (now_ms() - begin > kRoundMs) kill(pid, SIGKILL);
      usleep(500);
    }
    kill(-pid, SIGKILL);
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
  }
}

}  // namespace

// Its own number is none of the small ones that calls are made with.
int main(int, char** argv) {
  for (int s : {SIGHUP, SIGTERM, SIGINT, SIGQUIT}) signal(s, SIG_IGN);
  pid_t pid;
  while ((pid = fork()) != 0 && pid < 128) {
    waitpid(pid, nullptr, 0);
  }
  if (pid == 0) {
    if (getpid() < 128) _exit(0);
    rounds(strtoull(argv[1], nullptr, 10), now_ms() + strtol(argv[2], nullptr, 10));
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  printf("the kernel lives: %d\n", status);
}
