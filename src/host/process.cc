#include "host/process.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>

#include <cstddef>

#include "host/call.h"
#include "host/open.h"
#include "host/privileges.h"

namespace usk::host {
namespace {

Result<void> checked(long r) {
  if (r < 0) return Err(errno);
  return {};
}

// In a child: it ends with the process that made it, which may have ended already.
void end_with(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
}

// In the child, between fork and exec: only async-signal-safe calls. `go`: read one byte first.
[[noreturn]] void exec_image(pid_t parent, int image, int channel, int go) {
  char byte;
  if (go >= 0 && read(go, &byte, 1) != 1) _exit(127);
  end_with(parent);
  setsid();  // A terminal's signals are for the kernel process, never for guest code.
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  drop_capabilities();
  personality(ADDR_NO_RANDOMIZE);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int s = 1; s < NSIG; s++) signal(s, SIG_DFL);
  const int keep = dup(channel);
  const int exe = dup(image);
  dup2(keep, 0);
  dup2(exe, 1);
  fcntl(1, F_SETFD, FD_CLOEXEC);
  syscall(SYS_close_range, 2u, ~0u, 0u);
  char name[] = "usk-stub";
  char* argv[] = {name, nullptr};
  char* envp[] = {nullptr};
  syscall(SYS_execveat, 1, "", argv, envp, AT_EMPTY_PATH);
  _exit(127);
}

// Resumes `pid` until it stops with exactly `status >> 8`.
bool run_until(pid_t pid, int stop) {
  for (int i = 0; i < 8; i++) {
    auto event = wait_traced(pid, WaitMode::kBlock);
    if (!event || !WIFSTOPPED(event->status)) return false;
    if (event->status >> 8 == stop) return true;
    if (!trace_resume(PTRACE_CONT, pid)) return false;
  }
  return false;
}

}  // namespace

std::optional<WaitEvent> wait_traced(pid_t tid, WaitMode mode) {
  WaitEvent e;
  do {
    e.tid = pid_t(guarded(SYS_wait4, tid, &e.status,
                          __WALL | (mode == WaitMode::kPoll ? WNOHANG : 0), nullptr));
  } while (e.tid < 0 && errno == EINTR);
  if (e.tid <= 0) return std::nullopt;
  return e;
}

Result<void> trace_seize(pid_t tid, uint32_t options) {
  return checked(guarded(SYS_ptrace, PTRACE_SEIZE, tid, nullptr, uintptr_t(options)));
}

Result<void> trace_resume(int request, pid_t tid, int signal) {
  return checked(guarded(SYS_ptrace, request, tid, nullptr, uintptr_t(signal)));
}

Result<void> trace_interrupt(pid_t tid) {
  return checked(guarded(SYS_ptrace, PTRACE_INTERRUPT, tid, nullptr, nullptr));
}

Result<void> trace_get_regs(pid_t tid, Regs& regs) {
  return checked(
      guarded(SYS_ptrace, PTRACE_GETREGS, tid, nullptr, static_cast<user_regs_struct*>(&regs)));
}

Result<void> trace_set_regs(pid_t tid, const Regs& regs) {
  return checked(guarded(SYS_ptrace, PTRACE_SETREGS, tid, nullptr,
                         static_cast<const user_regs_struct*>(&regs)));
}

Result<siginfo_t> trace_siginfo(pid_t tid) {
  siginfo_t info{};
  TRY(checked(guarded(SYS_ptrace, PTRACE_GETSIGINFO, tid, nullptr, &info)));
  return info;
}

bool trace_has_exception(pid_t tid) {
  siginfo_t pending[8];
  __ptrace_peeksiginfo_args what{.off = 0, .flags = 0, .nr = 8};
  const long n = guarded(SYS_ptrace, PTRACE_PEEKSIGINFO, tid, &what, pending);
  for (long i = 0; i < n; i++) {
    const int s = pending[i].si_signo;
    const bool synchronous =
        s == SIGSEGV || s == SIGBUS || s == SIGILL || s == SIGFPE || s == SIGTRAP || s == SIGSYS;
    if (synchronous && pending[i].si_code > 0) return true;
  }
  return false;
}

Result<uint64_t> trace_event_message(pid_t tid) {
  unsigned long message = 0;
  TRY(checked(guarded(SYS_ptrace, PTRACE_GETEVENTMSG, tid, nullptr, &message)));
  return message;
}

Result<size_t> trace_get_xstate(pid_t tid, std::span<std::byte> area) {
  iovec iov{area.data(), area.size()};
  if (guarded(SYS_ptrace, PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov) < 0) return Err(errno);
  return iov.iov_len;
}

Result<void> trace_set_xstate(pid_t tid, std::span<const std::byte> area) {
  iovec iov{const_cast<std::byte*>(area.data()), area.size()};
  return checked(guarded(SYS_ptrace, PTRACE_SETREGSET, tid, NT_X86_XSTATE, &iov));
}

namespace {
constexpr size_t debug_offset(size_t number) {
  return offsetof(struct user, u_debugreg) + number * 8;
}
}  // namespace

Result<void> trace_set_debug_registers(pid_t tid, const std::array<uint64_t, 4>& addresses,
                                       uint64_t control) {
  // Addresses of conditions that are on would be checked against those.
  TRY(checked(guarded(SYS_ptrace, PTRACE_POKEUSER, tid, debug_offset(7), 0)));
  for (size_t i = 0; i < addresses.size(); i++) {
    TRY(checked(guarded(SYS_ptrace, PTRACE_POKEUSER, tid, debug_offset(i), addresses[i])));
  }
  return checked(guarded(SYS_ptrace, PTRACE_POKEUSER, tid, debug_offset(7), control));
}

Result<uint64_t> trace_get_debug_status(pid_t tid) {
  uint64_t value = 0;
  TRY(checked(guarded(SYS_ptrace, PTRACE_PEEKUSER, tid, debug_offset(6), &value)));
  return value;
}

Result<void> trace_set_debug_status(pid_t tid, uint64_t value) {
  return checked(guarded(SYS_ptrace, PTRACE_POKEUSER, tid, debug_offset(6), value));
}

Result<void> while_traced(pid_t tid, const std::function<Result<void>()>& f) {
  constexpr int kPatienceUs = 2'000'000, kStepUs = 50;
  TRY(trace_seize(tid, 0));
  TRY(trace_interrupt(tid));
  for (int waited = 0; waited < kPatienceUs; waited += kStepUs) {
    auto event = wait_traced(tid, WaitMode::kPoll);
    if (!event) {
      const timespec step{0, kStepUs * 1000};
      (void)guarded(SYS_ppoll, nullptr, 0, &step, nullptr, 8);
      continue;
    }
    if (!WIFSTOPPED(event->status)) return Err(ESRCH);
    const auto r = f();
    // A signal that was about to be delivered is the thread's own.
    const int signal = event->status >> 16 ? 0 : WSTOPSIG(event->status);
    TRY(trace_resume(PTRACE_DETACH, tid, signal));
    return r;
  }
  return Err(ETIMEDOUT);
}

Result<size_t> process_read(pid_t pid, uint64_t addr, std::span<std::byte> dst) {
  if (dst.empty()) return 0;
  iovec local{dst.data(), dst.size()};
  iovec remote{reinterpret_cast<void*>(addr), dst.size()};
  const ssize_t n = guarded(SYS_process_vm_readv, guarded_int(0, pid), &local, 1, &remote, 1, 0);
  if (n <= 0) return Err(n < 0 && errno == ESRCH ? ESRCH : EFAULT);
  return size_t(n);
}

Result<size_t> process_write(pid_t pid, uint64_t addr, std::span<const std::byte> src) {
  if (src.empty()) return 0;
  iovec local{const_cast<std::byte*>(src.data()), src.size()};
  iovec remote{reinterpret_cast<void*>(addr), src.size()};
  const ssize_t n = guarded(SYS_process_vm_writev, guarded_int(0, pid), &local, 1, &remote, 1, 0);
  if (n <= 0) return Err(n < 0 && errno == ESRCH ? ESRCH : EFAULT);
  return size_t(n);
}

Result<UniqueFd> open_process_memory(pid_t pid) {
  return open_proc(fmt::format("{}/mem", pid), O_RDWR);
}

void kill_process(pid_t pid, int signal) {
  // 0 and below name whole groups, ours among them; a process that is not known yet is none.
  if (pid > 0) (void)guarded(SYS_kill, pid, signal);
}

bool is_child(pid_t pid) {
  siginfo_t info{};
  return pid > 0 &&
         guarded(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, nullptr) == 0;
}

std::vector<pid_t> children_running(const std::string& image) {
  std::vector<pid_t> found;
  const std::string list = read_proc("thread-self/children");
  const std::string wanted = "/memfd:" + image;
  for (const char* at = list.c_str(); *at;) {
    char* end;
    const long pid = strtol(at, &end, 10);
    if (end == at) break;
    at = end + (*end == ' ');
    char exe[64] = {};
    const std::string link = fmt::format("{}/exe", pid);
    const long n = guarded(SYS_readlinkat, proc_dir(), link.c_str(), exe, sizeof exe - 1);
    if (n > 0 && std::string_view(exe).starts_with(wanted)) found.push_back(pid_t(pid));
  }
  return found;
}

cpu_set_t own_affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  (void)guarded(SYS_sched_getaffinity, 0, sizeof set, &set);
  return set;
}

pid_t own_pid() { return getpid(); }

OrFailure<pid_t> spawn_traced(int image, int channel, uint32_t options) {
  int go[2];
  if (pipe2(go, O_CLOEXEC) < 0) return fail(fmt::format("pipe: {}", strerror(errno)));
  const UniqueFd go_read(go[0]), go_write(go[1]);
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) return fail(fmt::format("fork: {}", strerror(errno)));
  if (pid == 0) exec_image(self, image, channel, go[0]);
  if (auto r = trace_seize(pid, options | PTRACE_O_TRACEEXEC); !r) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return fail(
        fmt::format("ptrace is not permitted here ({}): allow it (sysctl "
                    "kernel.yama.ptrace_scope, or --cap-add=SYS_PTRACE in a container)",
                    strerror(int(r.error()))));
  }
  if (write(go[1], "", 1) != 1 || !run_until(pid, SIGTRAP | PTRACE_EVENT_EXEC << 8) ||
      !trace_resume(PTRACE_CONT, pid) || !run_until(pid, SIGTRAP)) {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, __WALL);
    return fail("the stub process did not start: the host must allow executing a memfd");
  }
  return pid;
}

OrFailure<pid_t> spawn_stub(int image, int file) {
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) return fail(fmt::format("fork: {}", strerror(errno)));
  if (pid == 0) exec_image(self, image, file, -1);
  return pid;
}

OrFailure<int> run_self(const std::vector<std::string>& arguments, const std::vector<int>& fds) {
  std::vector<char*> argv = {const_cast<char*>("usk")};
  for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) return fail(fmt::format("fork: {}", strerror(errno)));
  if (pid == 0) {
    end_with(self);
    for (const int fd : fds) fcntl(fd, F_SETFD, 0);
    execv("/proc/self/exe", argv.data());
    _exit(125);
  }
  return wait_for_copy(pid);
}

OrFailure<pid_t> start_copy_of_self(const std::function<int()>& body) {
  fflush(nullptr);
  const pid_t self = getpid(), pid = fork();
  if (pid < 0) return fail(fmt::format("fork: {}", strerror(errno)));
  if (pid > 0) return pid;
  end_with(self);
  const int code = body();
  fflush(nullptr);
  _exit(code);
}

OrFailure<int> wait_for_copy(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return fail(fmt::format("waitpid: {}", strerror(errno)));
  }
  return status;
}

bool send_thread_signal(pid_t process, pid_t thread, int signal) {
  return guarded(SYS_tgkill, process, thread, signal) == 0;
}

int kernel_release() {
  utsname u{};
  uname(&u);
  int major = 0, minor = 0;
  sscanf(u.release, "%d.%d", &major, &minor);
  return major * 1000 + minor;
}

std::optional<ProcessUsage> process_usage(pid_t pid) {
  const std::string text = read_proc(fmt::format("{}/statm", pid));
  unsigned long total = 0, resident = 0;
  if (sscanf(text.c_str(), "%lu %lu", &total, &resident) != 2) return std::nullopt;
  ProcessUsage u;
  u.resident_pages = resident;
  return u;
}

std::optional<uint64_t> process_cpu_time(pid_t pid) {
  constexpr unsigned kNumberShift = 3, kRunTime = 2;  // A clock's id as the kernel makes it.
  timespec t;
  if (clock_gettime(clockid_t(~unsigned(pid) << kNumberShift | kRunTime), &t) != 0) {
    return std::nullopt;
  }
  return uint64_t(t.tv_sec) * 1'000'000'000 + uint64_t(t.tv_nsec);
}

std::optional<uint64_t> thread_cpu_time(pid_t tid) {
  // Clock ids name only threads of one's own process; schedstat is open to its tracer.
  const std::string text = read_proc(fmt::format("{}/schedstat", tid));
  char* end;
  const uint64_t ns = strtoull(text.c_str(), &end, 10);
  if (end == text.c_str()) return std::nullopt;
  return ns;
}

namespace {

// The fields of a file like /proc/PID/stat from the third on. The name before them may hold
// anything; they start behind its last parenthesis.
const char* stat_fields(const std::string& text) {
  const char* fields = strrchr(text.c_str(), ')');
  return fields ? strchr(fields, ' ') : nullptr;
}

const char* field(const char* fields, int number) {
  const char* p = fields;
  for (int i = 3; p && i < number; i++) p = strchr(p + 1, ' ');
  return p;
}

}  // namespace

std::optional<uint64_t> process_start(pid_t pid) {
  const std::string text = read_proc(fmt::format("{}/stat", pid));
  const char* fields = stat_fields(text);
  if (!fields) return std::nullopt;
  const char* p = field(fields, 22);
  if (!p) return std::nullopt;
  return strtoull(p, nullptr, 10);
}

std::optional<ThreadState> thread_state(pid_t tid) {
  // /proc/TID/stat would tell the CPU time of all threads of its process.
  const std::string text = read_proc(fmt::format("{0}/task/{0}/stat", tid));
  const char* fields = stat_fields(text);
  if (!fields) return std::nullopt;
  const char* user = field(fields, 14);
  const char* cpu = field(fields, 39);
  if (!user || !cpu) return std::nullopt;
  return ThreadState{fields[1], strtoull(user, nullptr, 10), uint32_t(strtoul(cpu, nullptr, 10))};
}

std::optional<uint64_t> thread_count(pid_t pid) {
  const std::string text = read_proc(fmt::format("{}/stat", pid));
  const char* fields = stat_fields(text);
  const char* count = fields ? field(fields, 20) : nullptr;
  if (!count) return std::nullopt;
  return strtoull(count, nullptr, 10);
}

Result<void> set_affinity(pid_t tid, const cpu_set_t& cpus) {
  return checked(guarded(SYS_sched_setaffinity, tid, sizeof cpus, &cpus));
}

}  // namespace usk::host
