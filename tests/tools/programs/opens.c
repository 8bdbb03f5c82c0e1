// Opens, reads and maps what is given, forks twice: a little of everything that strace shows.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void caught(int number) { (void)number; }

int inner(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  char bytes[16];
  ssize_t got = read(fd, bytes, sizeof bytes);
  close(fd);
  return (int)got;
}

int outer(const char* path) { return inner(path) + 1; }

int main(int argc, char** argv) {
  int pair[2], status;
  struct stat about;
  struct timespec moment = {0, 1000};
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGCHLD);  // It may come before or after the parent waits.
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  signal(SIGUSR1, caught);
  for (int i = 1; i < argc; i++) printf("%s: %d\n", argv[i], outer(argv[i]));
  fflush(stdout);
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  write(pair[0], "hello", 5);
  stat("/etc", &about);
  mkdir("made", 0700);
  rmdir("made");
  void* page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page, 8192);
  nanosleep(&moment, NULL);
  raise(SIGUSR1);
  for (int i = 0; i < 2; i++) {
    if (fork() == 0) {
      chdir(i == 0 ? "/" : "/nowhere");
      _exit(i);
    }
    wait(&status);
  }
  return 3;
}
