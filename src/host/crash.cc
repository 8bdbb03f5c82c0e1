#include "host/crash.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <linux/openat2.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unwind.h>

#include <array>
#include <iterator>

#include "base/check_handler.h"
#include "base/heartbeat.h"
#include "host/call.h"

namespace usk::host {
namespace {

constexpr int kCrashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
constexpr size_t kStackSize = 64 << 10;
constexpr size_t kMostFrames = 64;
constexpr char kReport[] = "crash.txt";

// Never freed: a handler may look at any time.
struct State {
  Ref<HostFd> reports;
  std::string name;
  uint64_t base = 0;  // Where this program was loaded.
  Watchdog watchdog = Watchdog::kLog;
  uint64_t rounds = 0;  // As they were at the last look.
  bool told = false;
};
State& state() {
  static State* const s = new State;
  return *s;
}

// Text of bounded length, made without memory from the heap: that may be what is broken.
class Text {
 public:
  template <class... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    const auto end = fmt::format_to_n(bytes_.data() + size_, bytes_.size() - size_, format,
                                      std::forward<Args>(args)...);
    size_ = std::min(bytes_.size(), size_ + end.size);
  }
  void write_to(int fd) const { (void)guarded(SYS_write, fd, bytes_.data(), size_); }

 private:
  std::array<char, 8192> bytes_;
  size_t size_ = 0;
};

struct Frames {
  std::array<uint64_t, kMostFrames> at;
  size_t count = 0;
};

_Unwind_Reason_Code take_frame(_Unwind_Context* context, void* to) {
  auto& frames = *static_cast<Frames*>(to);
  if (frames.count == kMostFrames) return _URC_END_OF_STACK;
  frames.at[frames.count++] = _Unwind_GetIP(context);
  return _URC_NO_REASON;
}

// Addresses in this program are given as offsets, for addr2line(1).
void add_stack(Text& text) {
  Frames frames;
  _Unwind_Backtrace(take_frame, &frames);
  for (size_t i = 0; i < frames.count; i++) {
    text.add("  {:#x}  usk+{:#x}\n", frames.at[i], frames.at[i] - state().base);
  }
}

void add_registers(Text& text, const ucontext_t& c) {
  static constexpr const char* kNames[] = {"r8",  "r9",  "r10", "r11", "r12", "r13",
                                           "r14", "r15", "rdi", "rsi", "rbp", "rbx",
                                           "rdx", "rax", "rcx", "rsp", "rip"};
  for (size_t i = 0; i < std::size(kNames); i++) {
    text.add("{} {:#018x}{}", kNames[i], uint64_t(c.uc_mcontext.gregs[i]),
             i % 4 == 3 ? "\n" : "  ");
  }
  text.add("\n");
}

int create_in(int dir, const char* name) {
  struct open_how how{};
  how.flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
  how.mode = 0600;
  return int(guarded(SYS_openat2, dir, name, &how, sizeof how));
}

// Ends the process with a line and a report of `what`.
[[noreturn]] void end_with_report(const char* what, const ucontext_t* context) {
  State& s = state();
  const UniqueFd file(s.reports ? create_in(s.reports->get(), kReport) : -1);
  if (file) {
    Text report;
    report.add("usk: internal error: {}\n", what);
    report.add("serving task {}, call {}\n", heartbeat.task.load(), heartbeat.call.load());
    if (context) add_registers(report, *context);
    report.add("stack:\n");
    add_stack(report);
    report.write_to(file.get());
  }
  Text line;
  line.add("usk: internal error: {}", what);
  if (file) line.add("; the report is in {}/{}", s.name, kReport);
  line.add("\n");
  line.write_to(2);
  guarded(SYS_exit_group, kCrashExitCode);
  __builtin_unreachable();
}

void on_crash(int signal, siginfo_t* info, void* context) {
  static std::atomic<bool> again{false};
  if (again.exchange(true)) guarded(SYS_exit_group, kCrashExitCode);
  const auto& c = *static_cast<ucontext_t*>(context);
  const uint64_t ip = uint64_t(c.uc_mcontext.gregs[REG_RIP]);
  char what[160] = {};
  fmt::format_to_n(what, sizeof what - 1, "{} at address {:#x} in usk+{:#x}", sigabbrev_np(signal),
                   reinterpret_cast<uint64_t>(info->si_addr), ip - state().base);
  end_with_report(what, &c);
}

void on_failed_check(const char* what) { end_with_report(what, nullptr); }

void on_watchdog(int, siginfo_t*, void* context) {
  State& s = state();
  const uint64_t rounds = heartbeat.rounds.load(std::memory_order_relaxed);
  if (rounds != std::exchange(s.rounds, rounds)) {
    s.told = false;
    return;
  }
  if (s.watchdog == Watchdog::kKill) {
    char what[128] = {};
    fmt::format_to_n(what, sizeof what - 1, "stuck with task {}, call {}", heartbeat.task.load(),
                     heartbeat.call.load());
    end_with_report(what, static_cast<ucontext_t*>(context));
  }
  if (std::exchange(s.told, true)) return;
  Text text;
  text.add("usk: stuck with task {}, call {}:\n", heartbeat.task.load(), heartbeat.call.load());
  add_stack(text);
  text.write_to(2);
}

int first_module(dl_phdr_info* info, size_t, void* base) {
  *static_cast<uint64_t*>(base) = info->dlpi_addr;
  return 1;  // The program itself comes first.
}

}  // namespace

Result<void> report_crashes(Ref<HostFd> reports, const std::string& name) {
  State& s = state();
  s.reports = std::move(reports);
  s.name = name;
  dl_iterate_phdr(first_module, &s.base);
  // What the unwinder does at its first use is done now.
  Text unused;
  add_stack(unused);
  // A stack that is full can have no handler on it.
  stack_t stack{};
  stack.ss_size = kStackSize;
  stack.ss_sp =
      mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, nullptr) != 0) return Err(errno);
  struct sigaction sa{};
  sa.sa_sigaction = on_crash;
  sa.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int signal : kCrashes) {
    if (sigaction(signal, &sa, nullptr) != 0) return Err(errno);
  }
  set_check_handler(on_failed_check);
  return {};
}

Result<void> start_watchdog(Watchdog what, int64_t period_ns) {
  state().watchdog = what;
  struct sigaction sa{};
  sa.sa_sigaction = on_watchdog;
  sa.sa_flags = SA_SIGINFO | SA_RESTART;
  if (sigaction(SIGPROF, &sa, nullptr) != 0) return Err(errno);
  const timeval period{period_ns / 1'000'000'000, period_ns % 1'000'000'000 / 1000};
  const itimerval timer{period, period};
  if (setitimer(ITIMER_PROF, &timer, nullptr) != 0) return Err(errno);
  return {};
}

}  // namespace usk::host
