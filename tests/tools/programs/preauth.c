// flags: -lseccomp
// What OpenSSH's server does to the process that talks to a client not yet known: limits of
// nothing, then a filter that answers denied calls with errors, and kills for the others.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

void confine(void) {
  const int allowed[] = {SCMP_SYS(brk),
                         SCMP_SYS(clock_gettime),
                         SCMP_SYS(close),
                         SCMP_SYS(exit_group),
                         SCMP_SYS(futex),
                         SCMP_SYS(getpid),
                         SCMP_SYS(getrandom),
                         SCMP_SYS(madvise),
                         SCMP_SYS(munmap),
                         SCMP_SYS(poll),
                         SCMP_SYS(ppoll),
                         SCMP_SYS(read),
                         SCMP_SYS(rt_sigprocmask),
                         SCMP_SYS(write)};
  const int refused[] = {SCMP_SYS(openat), SCMP_SYS(open), SCMP_SYS(newfstatat), SCMP_SYS(socket)};
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_FSIZE, &none);
  setrlimit(RLIMIT_NOFILE, &none);
  setrlimit(RLIMIT_NPROC, &none);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  scmp_filter_ctx c = seccomp_init(SCMP_ACT_KILL_PROCESS);
  for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
    seccomp_rule_add(c, SCMP_ACT_ALLOW, allowed[i], 0);
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
    seccomp_rule_add(c, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
  seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, 4, 0));
  seccomp_load(c);
}

void in_child(int fd, int turn) {
  char line[100];
  confine();
  ssize_t got = read(fd, line, sizeof line);
  int file = open("/etc/passwd", O_RDONLY);
  int length = snprintf(line, sizeof line, "got %zd, open: %s, socket: %d\n", got, strerror(errno),
                        file < 0 ? -1 : socket(AF_UNIX, SOCK_STREAM, 0));
  write(fd, line, (size_t)length);
  if (turn == 1) fork();
  if (turn == 2) prctl(PR_SET_DUMPABLE, 1);
  _exit(0);
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (int turn = 0; turn < 3; turn++) {
    int pair[2], status;
    char line[100];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    pid_t child = fork();
    if (child == 0) in_child(pair[1], turn);
    write(pair[0], "SSH-2.0", 7);
    ssize_t got = read(pair[0], line, sizeof line);
    printf("%.*s", (int)got, line);
    waitpid(child, &status, 0);
    printf("%s %d\n", WIFSIGNALED(status) ? "signal" : "code",
           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  return 0;
}
