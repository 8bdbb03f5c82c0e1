// The system calls: prototypes of all handlers, and the table. syscalls.def is the one list.
#pragma once
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <time.h>

#include <string>
#include <string_view>

#include "kernel/task/task.h"
#include "syscalls/args.h"
#include "syscalls/structs.h"

namespace usk {

enum class Support : uint8_t { kNone, kPartial, kFull };

namespace sys {
#define SYSCALL(nr, name, support, ...) SyscallResult name(Task& t __VA_OPT__(, ) __VA_ARGS__);
#define UNSUPPORTED(nr, name)
#include "syscalls/syscalls.def"
#undef SYSCALL
#undef UNSUPPORTED
}  // namespace sys

struct SyscallEntry {
  std::string_view name;    // Empty: no such number.
  std::string_view params;  // As written in syscalls.def.
  Support support = Support::kNone;
  SyscallResult (*call)(Task&, const SyscallArgs&) = nullptr;
};
constexpr size_t kSyscallCount = 512;
extern const std::array<SyscallEntry, kSyscallCount> kSyscalls;

// The kernel's dispatch: calls the handler of the frame, or answers ENOSYS and notes the number.
SyscallResult invoke_syscall(Task& t, SyscallFrame& frame);
// Numbers that were called without being implemented, and how often (--report-unsupported).
std::vector<std::pair<uint64_t, uint64_t>> unsupported_calls();
// A feature of an implemented call that is missing; `what` like "fcntl F_SETLEASE".
void note_unsupported(std::string_view what);
std::vector<std::pair<std::string, uint64_t>> unsupported_features();

}  // namespace usk
