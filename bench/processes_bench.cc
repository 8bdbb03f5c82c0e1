// Processes and threads: fork, exec, creation, and hand-over between two of them.
#include <linux/futex.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "bench.h"

using bench::must;
using bench::row;

namespace {

void wait_for(pid_t pid) {
  int status;
  must(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "child");
}

void creation() {
  row("fork-wait", [] {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    wait_for(pid);
  });
  constexpr size_t kMuch = size_t{100} << 20;
  auto* much = static_cast<char*>(
      mmap(nullptr, kMuch, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  must(much != MAP_FAILED, "mmap");
  row("fork-wait-100m", [&] {
    if (much[0] == 0) memset(much, 1, kMuch);
    pid_t pid = fork();
    if (pid == 0) _exit(much[kMuch - 1] != 1);
    wait_for(pid);
  });
  munmap(much, kMuch);
  row("vfork-exec", [] {
    pid_t pid = vfork();
    if (pid == 0) {
      execl("/proc/self/exe", "bench", "--exit", nullptr);
      _exit(1);
    }
    wait_for(pid);
  });
  row("thread-create-join", [] {
    pthread_t thread;
    void* (*body)(void*) = [](void*) -> void* { return nullptr; };
    must(pthread_create(&thread, nullptr, body, nullptr) == 0, "thread");
    pthread_join(thread, nullptr);
  });
}

// A second thread that answers each byte from `request` with one to `answer`.
struct Echo {
  int request[2], answer[2];
  pthread_t thread;

  void start() {
    void* (*body)(void*) = [](void* self) -> void* {
      auto* echo = static_cast<Echo*>(self);
      for (char byte; read(echo->request[0], &byte, 1) == 1;) {
        must(write(echo->answer[1], &byte, 1) == 1, "answer");
      }
      return nullptr;
    };
    must(pthread_create(&thread, nullptr, body, this) == 0, "thread");
  }
  void round() {
    char byte = 'x';
    must(write(request[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1, "round");
  }
};

void ping_pong_by_pipe() {
  static Echo echo;
  must(pipe(echo.request) == 0 && pipe(echo.answer) == 0, "pipe");
  echo.start();
  row("pipe-ping-pong", [] { echo.round(); });
  close(echo.request[1]);
  pthread_join(echo.thread, nullptr);
}

void ping_pong_by_socket() {
  static Echo echo;
  int fds[2];
  must(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0, "socketpair");
  echo.request[1] = echo.answer[0] = fds[0];
  echo.request[0] = echo.answer[1] = fds[1];
  echo.start();
  row("socket-ping-pong", [] { echo.round(); });
  shutdown(fds[0], SHUT_WR);
  pthread_join(echo.thread, nullptr);
}

void ping_pong_by_tcp() {
  static Echo echo;
  const int server = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in where = {};
  where.sin_family = AF_INET;
  where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* address = reinterpret_cast<sockaddr*>(&where);
  socklen_t size = sizeof where;
  must(bind(server, address, size) == 0 && listen(server, 1) == 0, "listen");
  must(getsockname(server, address, &size) == 0, "getsockname");
  must(connect(client, address, size) == 0, "connect");
  const int peer = accept(server, nullptr, nullptr);
  const int on = 1;
  for (int fd : {client, peer}) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  echo.request[1] = echo.answer[0] = client;
  echo.request[0] = echo.answer[1] = peer;
  echo.start();
  row("tcp-ping-pong", [] { echo.round(); });
  shutdown(client, SHUT_WR);
  pthread_join(echo.thread, nullptr);
  row("tcp-connect-close", [&] {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    must(connect(fd, address, size) == 0, "connect");
    close(accept(server, nullptr, nullptr));
    close(fd);
  });
}

// The same between two processes.
void ping_pong_of_processes() {
  static int request[2], answer[2];
  must(pipe(request) == 0 && pipe(answer) == 0, "pipe");
  pid_t pid = fork();
  if (pid == 0) {
    close(request[1]);
    for (char byte; read(request[0], &byte, 1) == 1;) {
      if (write(answer[1], &byte, 1) != 1) break;
    }
    _exit(0);
  }
  row("process-ping-pong", [] {
    char byte = 'x';
    must(write(request[1], &byte, 1) == 1 && read(answer[0], &byte, 1) == 1, "round");
  });
  close(request[1]);
  wait_for(pid);
}

uint32_t g_turn;

void futex(int op, uint32_t value) { syscall(SYS_futex, &g_turn, op, value, nullptr, nullptr, 0); }

// Sleeps while the word has this value.
void wait_while(uint32_t value) {
  while (__atomic_load_n(&g_turn, __ATOMIC_ACQUIRE) == value) futex(FUTEX_WAIT_PRIVATE, value);
}

void ping_pong_by_futex() {
  // 0: ours, 1: theirs, 2: the end.
  pthread_t thread;
  void* (*body)(void*) = [](void*) -> void* {
    for (;;) {
      wait_while(0);
      if (__atomic_load_n(&g_turn, __ATOMIC_ACQUIRE) == 2) return nullptr;
      __atomic_store_n(&g_turn, 0, __ATOMIC_RELEASE);
      futex(FUTEX_WAKE_PRIVATE, 1);
    }
  };
  must(pthread_create(&thread, nullptr, body, nullptr) == 0, "thread");
  row("futex-ping-pong", [] {
    __atomic_store_n(&g_turn, 1, __ATOMIC_RELEASE);
    futex(FUTEX_WAKE_PRIVATE, 1);
    wait_while(1);
  });
  __atomic_store_n(&g_turn, 2, __ATOMIC_RELEASE);
  futex(FUTEX_WAKE_PRIVATE, 1);
  pthread_join(thread, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[1], "--exit") == 0) return 0;
  bench::choose_rows(argc, argv);
  creation();
  // Pinned to one CPU, as the budget has it: idle CPUs wake slowly.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(sched_getcpu(), &one);
  if (getenv("BENCH_PIN") != nullptr) sched_setaffinity(0, sizeof one, &one);
  ping_pong_by_pipe();
  ping_pong_by_socket();
  ping_pong_by_tcp();
  ping_pong_of_processes();
  ping_pong_by_futex();
  return 0;
}
