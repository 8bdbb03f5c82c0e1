# needs: gcc bwrap
# limit: 120
# A program that confines itself and its child by libseccomp, and bubblewrap with a filter of it.
cat >confine.c <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char* what, long result) {
  printf("%s: %ld %s\n", what, result, result < 0 ? strerror(errno) : "");
}
static scmp_filter_ctx rules(void) {
  scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
  seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_rule_add(c, SCMP_ACT_ERRNO(EXDEV), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_INET));
  seccomp_rule_add(c, SCMP_ACT_ERRNO(EDOM), SCMP_SYS(lseek), 1,
                   SCMP_A1(SCMP_CMP_GT, 0x100000000));
  seccomp_rule_add(c, SCMP_ACT_ERRNO(ELOOP), SCMP_SYS(openat), 1,
                   SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, O_RDWR));
  seccomp_rule_add(c, SCMP_ACT_TRAP, SCMP_SYS(personality), 0);
  seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(swapon), 0);
  seccomp_rule_add(c, SCMP_ACT_LOG, SCMP_SYS(getppid), 0);
  for (int nr = 400; nr < 430; nr++) seccomp_rule_add(c, SCMP_ACT_ERRNO(nr - 300), nr, 0);
  return c;
}
static void on_trap(int s, siginfo_t* i, void* context) {
  (void)context;
  char* name = seccomp_syscall_resolve_num_arch(i->si_arch, i->si_syscall);
  printf("signal %d code %d: %s\n", s, i->si_code, name);
}
static void* in_thread(void* nothing) {
  say("socket in a thread", socket(AF_INET, SOCK_STREAM, 0));
  return nothing;
}
static void supervise(void) {
  int pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
  seccomp_rule_add(c, SCMP_ACT_NOTIFY, SCMP_SYS(chdir), 0);
  say("load with listener", seccomp_load(c));
  const int fd = seccomp_notify_fd(c);
  const pid_t child = fork();
  if (child == 0) {
    say("chdir", chdir("/anywhere"));
    say("chdir again", chdir("/"));
    _exit(0);
  }
  for (int i = 0; i < 2; i++) {
    struct seccomp_notif* q;
    struct seccomp_notif_resp* a;
    seccomp_notify_alloc(&q, &a);
    seccomp_notify_receive(fd, q);
    printf("asked by the child: %d, valid: %d\n", q->pid == (unsigned)child,
           seccomp_notify_id_valid(fd, q->id));
    fflush(stdout);
    memset(a, 0, sizeof *a);
    a->id = q->id;
    if (i == 0) a->error = -ENOLINK;
    if (i == 1) a->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    seccomp_notify_respond(fd, a);
    seccomp_notify_free(q, a);
  }
  waitpid(child, NULL, 0);
}
int main(int argc, char** argv) {
  scmp_filter_ctx c = rules();
  if (argc > 1) return seccomp_export_bpf(c, open(argv[1], O_WRONLY | O_CREAT, 0600));
  setvbuf(stdout, NULL, _IOLBF, 0);
  say("api", seccomp_api_get());
  seccomp_attr_set(c, SCMP_FLTATR_CTL_TSYNC, 1);
  say("load", seccomp_load(c));
  say("inet", socket(AF_INET, SOCK_STREAM, 0));
  say("unix", close(socket(AF_UNIX, SOCK_STREAM, 0)));
  say("lseek", lseek(open("/etc/passwd", O_RDONLY), 0x100000001, SEEK_SET));
  say("open", open("/etc/passwd", O_RDWR));
  for (int nr = 398; nr < 430; nr += 6) say("unknown", syscall(nr, -1, -1, -1, -1, -1, -1));
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  syscall(SCMP_SYS(personality), 0);
  pthread_t thread;
  pthread_create(&thread, NULL, in_thread, NULL);
  pthread_join(thread, NULL);
  supervise();
  int status;
  if (fork() == 0) syscall(SCMP_SYS(swapon), "x", 0);
  wait(&status);
  printf("killed by %d\n", WTERMSIG(status));
  return 0;
}
END
gcc -O1 -Wall -o confine confine.c -lpthread -lseccomp && ./confine
./confine filter.bpf && bwrap --ro-bind / / --unshare-user --seccomp 9 -- bash -c '
  grep Seccomp /proc/self/status
  exec 3<>/etc/passwd; : 4</etc/passwd && echo read' 9<filter.bpf 2>&1
