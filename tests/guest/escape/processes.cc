// Processes outside: by number, by descriptor, by their memory.
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/guest/escape/escape.h"

namespace {

using std::string;

bool is_ours(pid_t pid) { return access(("/proc/" + std::to_string(pid)).c_str(), F_OK) == 0; }

// Every call that takes a process, with one that is not inside.
void by_number(const Facts& f) {
  if (is_ours(f.pid)) return;
  char byte = 0;
  iovec local{&byte, 1}, remote{reinterpret_cast<void*>(0x400000), 1};
  siginfo_t info{};
  info.si_code = SI_QUEUE;
  rlimit limit{0, 0};
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  for (const pid_t pid : {f.pid, -f.pid}) {
    must_fail(kill(pid, SIGKILL), "kill");
    must_fail(syscall(SYS_tgkill, pid, pid, SIGKILL), "tgkill");
    must_fail(syscall(SYS_tkill, pid, SIGKILL), "tkill");
    must_fail(syscall(SYS_rt_sigqueueinfo, pid, SIGUSR1, &info), "rt_sigqueueinfo");
    must_fail(ptrace(PTRACE_ATTACH, pid, 0, 0), "PTRACE_ATTACH");
    must_fail(ptrace(PTRACE_SEIZE, pid, 0, 0), "PTRACE_SEIZE");
    must_fail(process_vm_readv(pid, &local, 1, &remote, 1, 0), "process_vm_readv");
    must_fail(process_vm_writev(pid, &local, 1, &remote, 1, 0), "process_vm_writev");
    must_fail(syscall(SYS_pidfd_open, pid, 0), "pidfd_open");
    must_fail(setpriority(PRIO_PROCESS, id_t(pid), 19), "setpriority");
    must_fail(sched_setaffinity(pid, sizeof cpus, &cpus), "sched_setaffinity");
    must_fail(syscall(SYS_prlimit64, pid, RLIMIT_NOFILE, &limit, nullptr), "prlimit");
    must_fail(setpgid(pid, 0), "setpgid");
    must_fail(getsid(pid), "getsid");
    must_fail(syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0), "kcmp");
    must_fail(syscall(SYS_move_pages, pid, 0, nullptr, nullptr, nullptr, 0), "move_pages");
    must_fail(syscall(SYS_get_robust_list, pid, &local, &remote), "get_robust_list");
    must_fail(syscall(SYS_ioprio_set, 1, pid, 0), "ioprio_set");
  }
  for (const char* file :
       {"/mem", "/environ", "/maps", "/root/etc/passwd", "/cwd", "/fd", "/ns/mnt", "/oom_score_adj",
        "/attr/current", "/task", "/stat", "/clear_refs"}) {
    must_fail(open(("/proc/" + std::to_string(f.pid) + file).c_str(), O_RDONLY), file);
  }
}

// As nobody else: all processes that such a user may signal.
void everybody(const Facts&) {
  const pid_t pid = fork();
  if (pid == 0) {
    if (setresuid(61234, 61234, 61234) == 0) kill(-1, SIGKILL);
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
}

// Descriptors of processes that may be outside: numbers that were never inside, those that were.
void stolen_pidfds(const Facts& f) {
  const pid_t gone = fork();
  if (gone == 0) _exit(0);
  const int fd = int(syscall(SYS_pidfd_open, gone, 0));
  waitpid(gone, nullptr, 0);
  must_fail(syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0), "a signal by an old pidfd");
  must_fail(syscall(SYS_pidfd_getfd, fd, 0, 0), "pidfd_getfd of what is gone");
  must_fail(syscall(SYS_process_madvise, fd, nullptr, 0, 4, 0), "process_madvise");
  must_fail(setns(fd, CLONE_NEWNS | CLONE_NEWPID), "setns by an old pidfd");
  // Of process 1, whose descriptors would be the kernel's.
  const int init = int(syscall(SYS_pidfd_open, 1, 0));
  for (int number = 0; number < 40; number++) {
    const int stolen = int(syscall(SYS_pidfd_getfd, init, number, 0));
    if (stolen < 0) continue;
    show(openat(stolen, (f.dir.substr(1) + "/secret").c_str(), O_RDONLY), "by a stolen descriptor");
  }
  if (!is_ours(f.pid)) {
    const int by_name = open(("/proc/" + std::to_string(f.pid)).c_str(), O_DIRECTORY);
    must_fail(by_name, "a directory of /proc of a process outside");
  }
}

// What a process of another user has open, maps and is told, beside Linux's ptrace_may_access().
void of_another_user(const Facts& f) {
  const int kept = open("/etc/hostname", O_RDONLY);
  const pid_t owner = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    if (setresgid(61234, 61234, 61234) != 0 || setresuid(61234, 61234, 61234) != 0) _exit(0);
    char byte = 0;
    iovec local{&byte, 1}, remote{&byte, 1};
    const string base = "/proc/" + std::to_string(owner);
    const int fd = int(syscall(SYS_pidfd_open, owner, 0));
    must_fail(syscall(SYS_pidfd_getfd, fd, kept, 0), "pidfd_getfd of another user's");
    must_fail(setns(fd, CLONE_NEWNS | CLONE_NEWUSER), "setns to another user's");
    must_fail(syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0),
              "a signal to another user's");
    must_fail(process_vm_writev(owner, &local, 1, &remote, 1, 0), "process_vm_writev");
    must_fail(ptrace(PTRACE_ATTACH, owner, 0, 0), "PTRACE_ATTACH to another user's");
    must_fail(open((base + "/mem").c_str(), O_RDWR), "mem of another user's");
    must_fail(open((base + "/environ").c_str(), O_RDONLY), "environ of another user's");
    must_fail(open((base + "/fd/" + std::to_string(kept)).c_str(), O_RDONLY),
              "fd of another user's");
    show(base + "/root" + f.dir + "/secret");
    _exit(0);
  }
  waitpid(pid, nullptr, 0);
  close(kept);
}

// A tracer sends its tracee wherever it likes: the host's calls are nowhere.
void tracees(const Facts& f) {
  for (const uint64_t ip : {0x7fffd0000040ul, 0x7fffd0000080ul, 0x7fffd0000000ul, 0x7fffcffff000ul,
                            0x7ffffffff000ul, 0xffffffffff600000ul}) {
    for (const long nr : {SYS_getpid, SYS_kill, SYS_openat, SYS_socket}) {
      const pid_t pid = fork();
      if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        _exit(0);
      }
      int status = 0;
      waitpid(pid, &status, 0);
      user_regs_struct regs{};
      ptrace(PTRACE_GETREGS, pid, 0, &regs);
      regs.rip = ip;
      regs.rax = regs.orig_rax = uint64_t(nr);
      regs.rdi = uint64_t(f.pid);
      regs.rsi = SIGKILL;
      ptrace(PTRACE_SETREGS, pid, 0, &regs);
      ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
      waitpid(pid, &status, __WALL);
      regs = {};
      if (ptrace(PTRACE_GETREGS, pid, 0, &regs) == 0 && nr == SYS_getpid && WIFSTOPPED(status) &&
          WSTOPSIG(status) == SIGTRAP && regs.rax != uint64_t(nr) && int64_t(regs.rax) > 0 &&
          regs.rax != uint64_t(pid)) {
        escaped("a call at %lx gave the number %llu", ip, regs.rax);
      }
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
  }
}

// What the stub keeps for itself is no memory of the guest's, by any way to write to it.
void memory_of_the_stub(const Facts&) {
  const int memory = open("/proc/self/mem", O_RDWR);
  char bytes[64] = {};
  for (uint64_t at = 0x7fffd0000000; at < 0x7ffffffff000;
       at += at < 0x7fffd0400000 ? 4096 : 1 << 26) {
    iovec local{bytes, sizeof bytes}, remote{reinterpret_cast<void*>(at), sizeof bytes};
    must_fail(pread(memory, bytes, sizeof bytes, off_t(at)), "pread of /proc/self/mem there");
    must_fail(pwrite(memory, bytes, sizeof bytes, off_t(at)), "pwrite of /proc/self/mem there");
    must_fail(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), "process_vm_readv there");
    must_fail(process_vm_writev(getpid(), &local, 1, &remote, 1, 0), "process_vm_writev there");
    int pipe_fds[2];
    if (pipe(pipe_fds) != 0) return;
    must_fail(write(pipe_fds[1], reinterpret_cast<void*>(at), 8), "a call with a pointer there");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
  }
}

}  // namespace

std::vector<Attempt> process_attempts() {
  return {{"by_number", by_number},
          {"everybody", everybody},
          {"stolen_pidfds", stolen_pidfds},
          {"of_another_user", of_another_user},
          {"tracees", tracees},
          {"memory_of_the_stub", memory_of_the_stub}};
}
