#include "host/recorder.h"

#include <errno.h>
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <array>
#include <cstddef>

extern "C" {
// One system call, from a place that the filter knows.
long usk_recorder_call(long nr, const uint64_t* args);
extern const char usk_recorder_gate[], usk_recorder_gate_end[];
extern const char usk_ioctl_begin[], usk_ioctl_abort[];
}
__asm__(
    ".text\n.globl usk_recorder_call, usk_recorder_gate, usk_recorder_gate_end\n"
    "usk_recorder_call:\n"
    "movq %rdi, %rax\n"
    "movq %rsi, %r11\n"
    "movq 0(%r11), %rdi\n"
    "movq 8(%r11), %rsi\n"
    "movq 16(%r11), %rdx\n"
    "movq 24(%r11), %r10\n"
    "movq 32(%r11), %r8\n"
    "movq 40(%r11), %r9\n"
    "usk_recorder_gate: syscall\n"
    "usk_recorder_gate_end: ret\n");

namespace usk::host {
namespace {

int g_fd = -1;
Role g_role;
constexpr size_t kMostRules = 256;
std::array<bool, kMostRules> g_seen;

void put(const char* text, size_t size) {
  const uint64_t args[6] = {uint64_t(g_fd), reinterpret_cast<uint64_t>(text), size, 0, 0, 0};
  usk_recorder_call(SYS_write, args);
}

void note(long nr, const uint64_t (&args)[6], uint64_t ip) {
  const auto calls = host_calls();
  char line[256];
  for (size_t i = 0; i < calls.size(); i++) {
    if (calls[i].nr != uint32_t(nr) || !permits(calls[i], g_role, args)) continue;
    if (g_seen[i]) return;
    g_seen[i] = true;
    const auto end = fmt::format_to_n(line, sizeof line, "used {} {}\n", i, calls[i].name);
    return put(line, std::min(end.size, sizeof line));
  }
  const auto end = fmt::format_to_n(line, sizeof line, "missing {} {:#x} at {:#x}\n", nr,
                                    fmt::join(args, " "), ip);
  put(line, std::min(end.size, sizeof line));
}

void on_call(int, siginfo_t* info, void* context) {
  const int saved = errno;
  auto& r = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint64_t args[6] = {uint64_t(r[REG_RDI]), uint64_t(r[REG_RSI]), uint64_t(r[REG_RDX]),
                            uint64_t(r[REG_R10]), uint64_t(r[REG_R8]),  uint64_t(r[REG_R9])};
  note(info->si_syscall, args, uint64_t(r[REG_RIP]));
  r[REG_RAX] = usk_recorder_call(info->si_syscall, args);
  errno = saved;
}

// Jumps over `skip` further instructions unless `from` <= the instruction pointer < `to`, whose
// upper half is in A.
void allow_range(std::vector<sock_filter>& f, const char* from, const char* to) {
  const auto begin = reinterpret_cast<uint64_t>(from), end = reinterpret_cast<uint64_t>(to);
  constexpr uint32_t kIp = offsetof(seccomp_data, instruction_pointer);
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kIp + 4));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, uint32_t(begin >> 32), 0, 4));
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kIp));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, uint32_t(begin), 0, 2));
  f.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, uint32_t(end), 1, 0));
  f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

}  // namespace

OrFailure<void> start_recorder(Role role, int fd) {
  if (host_calls().size() > kMostRules) return fail("calls.def has too many lines to record");
  g_role = role;
  g_fd = fd;
  struct sigaction sa{};
  sa.sa_sigaction = on_call;
  sa.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART;
  if (sigaction(SIGSYS, &sa, nullptr) != 0) return fail(fmt::format("SIGSYS: {}", strerror(errno)));
  return {};
}

std::vector<sock_filter> recorder_exceptions() {
  std::vector<sock_filter> f;
  allow_range(f, usk_recorder_gate, usk_recorder_gate_end);
  // The wait for notices is left by moving its instruction pointer (listener.cc).
  allow_range(f, usk_ioctl_begin, usk_ioctl_abort);
  f.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (uint32_t nr : {SYS_rt_sigreturn, SYS_restart_syscall}) {
    f.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1));
    f.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  return f;
}

}  // namespace usk::host
