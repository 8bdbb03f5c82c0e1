#include "host/listener.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>

#include <cerrno>

#include "host/call.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

extern "C" {
// ioctl(2) that a signal handler can keep from starting: see on_child().
long usk_ioctl_window(long fd, long request, void* arg, uint64_t r10, uint64_t r8, uint64_t r9);
extern const char usk_ioctl_begin[], usk_ioctl_end[], usk_ioctl_abort[];
}
__asm__(
    ".text\n.globl usk_ioctl_window, usk_ioctl_begin, usk_ioctl_end, usk_ioctl_abort\n"
    "usk_ioctl_window:\n"
    "movq %rcx, %r10\n"
    "usk_ioctl_begin: movl $16, %eax\n"
    "usk_ioctl_end: syscall\n"
    "ret\n"
    "usk_ioctl_abort: movq $-4, %rax\n"  // -EINTR
    "ret\n");

namespace usk::host {
namespace {

int g_children = -1;

// The host's wait for a notice does not end when the notice's thread dies. So that it ends with
// the next child, the handler leaves the call whether it has begun (then the host has put the
// instruction pointer back to repeat it) or is about to.
void on_child(int, siginfo_t*, void* context) {
  const int saved = errno;
  const eventfd_t one = 1;
  (void)guarded(SYS_write, g_children, &one, sizeof one);
  auto& ip = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
  if (ip >= greg_t(usk_ioctl_begin) && ip <= greg_t(usk_ioctl_end)) ip = greg_t(usk_ioctl_abort);
  errno = saved;
}

}  // namespace

Result<Listener> Listener::take(pid_t pid, int fd) {
  const UniqueFd process(int(guarded(SYS_pidfd_open, pid, 0)));
  if (!process) return Err(errno);
  UniqueFd taken(int(guarded(SYS_pidfd_getfd, process.get(), fd, 0)));
  if (!taken) return Err(errno);
  return Listener(std::move(taken));
}

// The host may be kept from it by a signal; an answer that is lost would never come again.
long Listener::answer_with(unsigned long request, void* what) {
  long r;
  do {
    r = guarded(SYS_ioctl, fd_.get(), request, what);
  } while (r < 0 && errno == EINTR);
  return r;
}

std::optional<Listener::Notice> Listener::receive() {
  seccomp_notif n{};
  if (usk_ioctl_window(fd_.get(), long(SECCOMP_IOCTL_NOTIF_RECV), &n, cookies.words[3],
                       cookies.words[4], cookies.words[5]) < 0)
    return std::nullopt;
  Notice out{.id = n.id, .tid = pid_t(n.pid), .nr = uint32_t(n.data.nr)};
  for (size_t i = 0; i < 6; i++) out.args[i] = n.data.args[i];
  return out;
}

void Listener::answer(uint64_t id, int error) {
  seccomp_notif_resp r{.id = id, .val = 0, .error = -error, .flags = 0};
  (void)answer_with(SECCOMP_IOCTL_NOTIF_SEND, &r);
}

void Listener::let_through(uint64_t id) {
  seccomp_notif_resp r{.id = id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  (void)answer_with(SECCOMP_IOCTL_NOTIF_SEND, &r);
}

Result<void> Listener::install(uint64_t id, int file, int number) {
  seccomp_notif_addfd a{};
  a.id = id;
  a.flags = SECCOMP_ADDFD_FLAG_SETFD;
  a.srcfd = uint32_t(file);
  a.newfd = uint32_t(number);
  if (answer_with(SECCOMP_IOCTL_NOTIF_ADDFD, &a) < 0) return Err(errno);
  return {};
}

void Listener::set_hand_over(bool on) {
  (void)guarded(SYS_ioctl, fd_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, uint64_t(on));
}

Result<int> children_as_fd() {
  if (g_children < 0) g_children = int(guarded(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (g_children < 0) return Err(errno);
  struct sigaction sa{};
  sa.sa_sigaction = on_child;
  sa.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(SIGCHLD, &sa, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return g_children;
}

pid_t next_ended_child() {
  eventfd_t n;
  (void)guarded(SYS_read, g_children, &n, sizeof n);
  int status;
  const pid_t pid = pid_t(guarded(SYS_wait4, -1, &status, WNOHANG | __WALL, nullptr));
  return pid > 0 ? pid : 0;
}

}  // namespace usk::host
