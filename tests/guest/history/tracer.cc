#include <errno.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "tests/guest/history/tracee.h"

extern "C" char __executable_start, etext;

namespace history {
namespace {

constexpr int kMaxStops = 60;
constexpr int kAlways = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
constexpr int kSignals[] = {0,       SIGUSR1, SIGUSR2, SIGCHLD, SIGCONT,
                            SIGSTOP, SIGTSTP, SIGURG,  SIGTERM, 35};

long trace(long request, pid_t pid, long addr = 0, long data = 0) {
  const long r = syscall(SYS_ptrace, request, pid, addr, data);
  return r == -1 ? -errno : r;
}

int any_signal(Random& r) { return kSignals[r.below(sizeof kSignals / sizeof *kSignals)]; }

class Tracer {
 public:
  explicit Tracer(uint64_t seed) : r_(seed ^ 0xabcdef), seed_(seed) {}
  void run();
  void end_after(int stops) { stops_left_ = stops; }

 private:
  // Processes by the order in which they appeared: their numbers are the kernel's choice.
  const char* name(pid_t pid);
  bool wait(pid_t pid, int& status);
  void drive(pid_t pid);
  void show(pid_t pid, int status);
  void show_info(pid_t pid);
  void show_registers(pid_t pid);
  bool meddle(pid_t pid, int status);
  void resume(pid_t pid, int status);

  Random r_;
  const uint64_t seed_;
  int stops_left_ = -1;
  int options_ = 0;  // To be set at the first stop.
  std::vector<pid_t> known_;
};

const char* Tracer::name(pid_t pid) {
  static char text[32];
  size_t i = 0;
  while (i < known_.size() && known_[i] != pid) i++;
  if (pid == 0 || pid == getpid()) return pid ? "tracer" : "none";
  if (i == known_.size()) known_.push_back(pid);
  snprintf(text, sizeof text, "p%zu", i);
  return text;
}

bool Tracer::wait(pid_t pid, int& status) {
  status = 0;
  return waitpid(pid, &status, __WALL) == pid;
}

void Tracer::show_info(pid_t pid) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  if (const long e = trace(PTRACE_GETSIGINFO, pid, 0, long(&info)); e < 0) {
    printf(" info=%ld", e);
    return;
  }
  printf(" info=%d/%d", info.si_signo, info.si_code);
  if (info.si_signo == SIGCHLD && info.si_code > 0) {
    printf("/%s/%d", name(info.si_pid), info.si_status);
  } else if (info.si_code <= 0 && info.si_code != SI_KERNEL) {
    printf("/%s", name(info.si_pid));
  } else if (info.si_signo == SIGSYS) {
    printf("/%d/%d", info.si_errno, info.si_syscall);
  }
}

void Tracer::show_registers(pid_t pid) {
  user_regs_struct g;
  if (const long e = trace(PTRACE_GETREGS, pid, 0, long(&g)); e < 0) {
    printf(" regs=%ld", e);
    return;
  }
  const long result = long(g.rax);
  if (long(g.orig_rax) < 200000) printf(" nr=%ld", long(g.orig_rax));
  if (result <= 0 && result > -600) printf(" rax=%ld", result);
  const auto start = reinterpret_cast<unsigned long>(&__executable_start);
  const auto end = reinterpret_cast<unsigned long>(&etext);
  if (g.rip >= start && g.rip < end) printf(" ip=%llx", g.rip);
  if (g.eflags & 0x100) printf(" TF");
}

void Tracer::show(pid_t pid, int status) {
  printf("%s %x", name(pid), unsigned(status));
  if (!WIFSTOPPED(status)) {
    printf("\n");
    return;
  }
  unsigned long message = 0;
  const int event = status >> 16;
  if (trace(PTRACE_GETEVENTMSG, pid, 0, long(&message)) == 0) {
    const bool is_pid = event >= PTRACE_EVENT_FORK && event <= PTRACE_EVENT_VFORK_DONE;
    is_pid ? printf(" msg=%s", name(pid_t(message))) : printf(" msg=%lu", message);
  }
  show_info(pid);
  show_registers(pid);
  ptrace_syscall_info info;
  memset(&info, 0, sizeof info);
  const long size = trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, long(&info));
  printf(" call=%ld/%d", size, info.op);
  unsigned long mask = 0;
  trace(PTRACE_GETSIGMASK, pid, 8, long(&mask));
  printf(" mask=%lx\n", mask);
}

// Something besides letting it go on. False: it goes on by itself.
bool Tracer::meddle(pid_t pid, int status) {
  switch (r_.below(12)) {
    case 0: {
      const int options = int(r_.next() & 0xff) | kAlways;
      printf("  options %ld\n", trace(PTRACE_SETOPTIONS, pid, 0, options));
      break;
    }
    case 1: {
      const int sig = any_signal(r_);
      printf("  kill %d: %d\n", sig, kill(pid, sig));
      break;
    }
    case 2:
      // Who is at its end already does not notice.
      if (status >> 16 == PTRACE_EVENT_EXIT || !r_.one_in(8)) break;
      printf("  kill 9: %d\n", kill(pid, SIGKILL));
      return false;
    case 3: printf("  interrupt %ld\n", trace(PTRACE_INTERRUPT, pid)); break;
    case 4: {
      siginfo_t info;
      memset(&info, 0, sizeof info);
      info.si_signo = any_signal(r_), info.si_code = SI_QUEUE;
      printf("  setsiginfo %ld\n", trace(PTRACE_SETSIGINFO, pid, 0, long(&info)));
      break;
    }
    case 5:
      // Only where a call is under way: elsewhere it would be one.
      if (status >> 8 == (SIGTRAP | 0x80) || status >> 16 == PTRACE_EVENT_SECCOMP) {
        printf("  skip %ld\n", trace(PTRACE_POKEUSR, pid, offsetof(user, regs.orig_rax), -1));
      }
      break;
    case 6: printf("  bad resume %ld\n", trace(PTRACE_CONT, pid, 0, 99)); break;
    case 7: {
      unsigned long mask = r_.one_in(2) ? 0 : 1ul << (SIGUSR1 - 1) | 1ul << (SIGCHLD - 1);
      printf("  setmask %ld\n", trace(PTRACE_SETSIGMASK, pid, 8, long(&mask)));
      break;
    }
    default: break;
  }
  return true;
}

void Tracer::resume(pid_t pid, int status) {
  if (r_.one_in(3)) {
    const long e = trace(PTRACE_LISTEN, pid);
    printf("  listen %ld\n", e);
    if (e == 0) {
      // A stop that was waiting to be told comes by itself.
      usleep(3000);
      siginfo_t info;
      memset(&info, 0, sizeof info);
      waitid(P_PID, id_t(pid), &info, WSTOPPED | WNOHANG | WNOWAIT | __WALL);
      if (info.si_pid != pid) printf("  kill %d: %d\n", SIGCONT, kill(pid, SIGCONT));
      return;
    }
  }
  static constexpr long kRequests[] = {PTRACE_CONT,    PTRACE_CONT,    PTRACE_SYSCALL,
                                       PTRACE_SYSCALL, PTRACE_SYSCALL, PTRACE_SINGLESTEP,
                                       PTRACE_SYSEMU};
  const long request = kRequests[r_.below(sizeof kRequests / sizeof *kRequests)];
  int sig = r_.one_in(3) ? any_signal(r_) : 0;
  const bool is_signal = status >> 16 == 0 && (status >> 8 & 0x80) == 0;
  if (is_signal && r_.one_in(2)) sig = WSTOPSIG(status);
  if (sig == SIGTRAP) sig = 0;
  printf("  resume %ld with %d: %ld\n", request, sig, trace(request, pid, 0, sig));
}

void Tracer::drive(pid_t pid) {
  for (int stops = 0;; stops++) {
    int status;
    if (!wait(pid, status)) {
      printf("%s is gone\n", name(pid));
      return;
    }
    show(pid, status);
    if (!WIFSTOPPED(status)) return;
    if (stops_left_ >= 0 && stops_left_-- == 0) _exit(0);
    if (const int options = std::exchange(options_, 0)) {
      printf("  options %x: %ld\n", options, trace(PTRACE_SETOPTIONS, pid, 0, options));
    }
    const int event = status >> 16;
    if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
      unsigned long child = 0;
      if (trace(PTRACE_GETEVENTMSG, pid, 0, long(&child)) == 0) drive(pid_t(child));
    }
    if (stops >= kMaxStops) {
      kill(pid, SIGKILL);
      printf("  enough\n");
      if (event == PTRACE_EVENT_EXIT) trace(PTRACE_CONT, pid);
      continue;
    }
    if (r_.one_in(3) || meddle(pid, status)) resume(pid, status);
  }
}

void Tracer::run() {
  const bool seized = r_.one_in(2);
  const int options = int(r_.next() & 0xff) | kAlways;
  int go[2];
  if (pipe(go) != 0) abort();
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    if (seized) {
      char byte;
      (void)!read(go[0], &byte, 1);
    } else {
      syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
    }
    close(go[0]);
    close(go[1]);
    raise(SIGSTOP);
    run_tracee(seed_, 0);
  }
  name(pid);
  if (seized) {
    if (trace(PTRACE_SEIZE, pid, 0, options) != 0) abort();
    (void)!write(go[1], "x", 1);
  } else {
    options_ = options;
  }
  drive(pid);
  close(go[0]);
  close(go[1]);
}

}  // namespace

void trace_seed(uint64_t seed) {
  printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Tracer(seed).run();
}

bool abandon_seed(uint64_t seed, int stops) {
  const pid_t tracer = fork();
  if (tracer == 0) {
    setpgid(0, 0);
    if (!freopen("/dev/null", "w", stdout)) _exit(1);
    Tracer t(seed);
    t.end_after(stops);
    t.run();
    _exit(0);
  }
  setpgid(tracer, tracer);
  if (waitpid(tracer, nullptr, 0) != tracer) return false;
  // Its tracees are this process's now. They may stop themselves, but nothing else holds them.
  constexpr int kPatienceMs = 5000;
  for (int waited = 0; waited < kPatienceMs; waited++) {
    while (waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {
    }
    if (errno == ECHILD) return true;
    kill(-tracer, SIGCONT);
    usleep(1000);
  }
  kill(-tracer, SIGKILL);
  return false;
}

}  // namespace history

// history FIRST COUNT: a history for each seed. history --abandon FIRST COUNT: tracers that end.
int main(int argc, char** argv) {
  if (argc == 4 && strcmp(argv[1], "--tracee") == 0) {
    history::run_tracee(strtoull(argv[2], nullptr, 10), atoi(argv[3]));
  }
  const bool abandon = argc == 4 && strcmp(argv[1], "--abandon") == 0;
  if (abandon) argc--, argv++;
  if (argc != 3) return 2;
  setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
  // In a process group that is not orphaned: stop signals of terminals stop.
  if (const pid_t worker = fork(); worker > 0) {
    int status = 0;
    waitpid(worker, &status, 0);
    return status != 0;
  }
  setpgid(0, 0);
  const uint64_t first = strtoull(argv[1], nullptr, 10), count = strtoull(argv[2], nullptr, 10);
  int stuck = 0;
  if (abandon) prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (uint64_t seed = first; seed < first + count; seed++) {
    if (!abandon) {
      history::trace_seed(seed);
    } else if (!history::abandon_seed(seed, int(seed % 40))) {
      printf("seed %llu leaves a stuck process\n", static_cast<unsigned long long>(seed));
      stuck++;
    }
  }
  if (abandon) printf("%d stuck\n", stuck);
  fflush(stdout);
  return stuck > 0;
}
