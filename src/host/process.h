// Host processes: making and tracing stubs (fork(2), ptrace(2), wait(2), process_vm_readv(2)).
#pragma once
#include <sched.h>
#include <signal.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "arch/x86_64/regs.h"
#include "base/failure.h"
#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// One report of waitpid(2).
struct WaitEvent {
  pid_t tid = 0;
  int status = 0;
};
// The next report about `tid` (-1: any traced thread). Nothing: none is there now, or (kBlock)
// no such child exists.
enum class WaitMode { kBlock, kPoll };
std::optional<WaitEvent> wait_traced(pid_t tid, WaitMode mode);

// ptrace(2) requests, each on a thread in a ptrace-stop. ESRCH: it is gone.
Result<void> trace_seize(pid_t tid, uint32_t options);
Result<void> trace_resume(int request, pid_t tid, int signal = 0);
Result<void> trace_interrupt(pid_t tid);
Result<void> trace_get_regs(pid_t tid, Regs& regs);
Result<void> trace_set_regs(pid_t tid, const Regs& regs);
Result<siginfo_t> trace_siginfo(pid_t tid);
// Whether a stopped thread has met an exception or its filter, and will stop with that signal next.
bool trace_has_exception(pid_t tid);
Result<uint64_t> trace_event_message(pid_t tid);
// NT_X86_XSTATE. Returns the size.
Result<size_t> trace_get_xstate(pid_t tid, std::span<std::byte> area);
Result<void> trace_set_xstate(pid_t tid, std::span<const std::byte> area);
// The USER area's debug registers 0 to 3 and 7, and number 6.
Result<void> trace_set_debug_registers(pid_t tid, const std::array<uint64_t, 4>& addresses,
                                       uint64_t control);
Result<uint64_t> trace_get_debug_status(pid_t tid);
Result<void> trace_set_debug_status(pid_t tid, uint64_t value);
// Traces a thread, which is nobody's tracee and will stop soon, only as long as `f` runs.
// ETIMEDOUT: it does not stop, and must not be left running.
Result<void> while_traced(pid_t tid, const std::function<Result<void>()>& f);

// Memory of another process. Returns how much was copied; EFAULT when nothing was.
Result<size_t> process_read(pid_t pid, uint64_t addr, std::span<std::byte> dst);
Result<size_t> process_write(pid_t pid, uint64_t addr, std::span<const std::byte> src);
// /proc/PID/mem: reaches pages whatever their protection.
Result<UniqueFd> open_process_memory(pid_t pid);

// Nothing happens for a pid that names no single process (kill(2)).
void kill_process(pid_t pid, int signal);
// A child process of ours that was not waited for: until then the number is its own.
bool is_child(pid_t pid);
// Children of the calling thread that run the memory file of this name (memory_file()).
std::vector<pid_t> children_running(const std::string& image);
cpu_set_t own_affinity();
pid_t own_pid();

// Starts `image` (an executable in a memfd) as a child that waits, traced and stopped at its
// first instruction, with one descriptor: `channel`, as number 0.
OrFailure<pid_t> spawn_traced(int image, int channel, uint32_t options);

// Starts `image` as a child with one descriptor: `file`, as number 0. It dies with the thread that
// calls this.
OrFailure<pid_t> spawn_stub(int image, int file);
// Runs this very program with other arguments and these descriptors of ours, and waits for it: its
// wait status. It dies with the thread that calls this.
OrFailure<int> run_self(const std::vector<std::string>& arguments, const std::vector<int>& fds);
// A child that runs `body` and exits with what it returns; it dies with its parent. Before there
// are other threads. And its wait status.
OrFailure<pid_t> start_copy_of_self(const std::function<int()>& body);
OrFailure<int> wait_for_copy(pid_t pid);
// tgkill(2): false when that thread is gone.
bool send_thread_signal(pid_t process, pid_t thread, int signal);

// Release of the running kernel as major * 1000 + minor: uname(2).
int kernel_release();

// What a host thread is at: its state as proc(5) writes it, and its CPU time in user code.
struct ThreadState {
  char state = 0;
  uint64_t user_ticks = 0;  // Of a hundredth of a second.
  uint32_t cpu = 0;         // Where it runs or did last.
};
std::optional<ThreadState> thread_state(pid_t tid);
// How many threads the process has. Nothing: it is gone.
std::optional<uint64_t> thread_count(pid_t pid);

// CPU time and memory of a host process from /proc: for accounting.
struct ProcessUsage {
  uint64_t resident_pages = 0, user_ns = 0, system_ns = 0;
};
std::optional<ProcessUsage> process_usage(pid_t pid);
// When the process began, in clock ticks since the host's boot: with its pid, a name that is not
// used again.
std::optional<uint64_t> process_start(pid_t pid);
Result<void> set_affinity(pid_t tid, const cpu_set_t& cpus);
// CPU time of one host thread in nanoseconds.
std::optional<uint64_t> thread_cpu_time(pid_t tid);
// The same of all threads that a process has and had; much cheaper.
std::optional<uint64_t> process_cpu_time(pid_t pid);

}  // namespace usk::host
