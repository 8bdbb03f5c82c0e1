// The kernel process's own seccomp filter: seccomp(2). What it lets through stands in calls.def.
#pragma once
#include <linux/filter.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "host/call.h"

namespace usk::host {

// Which of Usk's processes and threads may make a call.
enum Role : uint8_t { kKernel = 1, kTerminal = 2, kDisk = 4 };

// One condition on the arguments of a call.
struct ArgTest {
  enum class Kind : uint8_t {
    kNone,
    kUnused,   // This register and all behind it hold their cookies.
    kCookie,   // This register does.
    kHigh,     // The upper half of this register does.
    kOneOf,    // The lower half is one of these.
    kWithout,  // The lower half has none of these bits.
    kAtMost,   // The whole is at most this.
    kOwnPid,   // The lower half is this process's number.
  } kind = Kind::kNone;
  uint8_t arg = 0;
  uint8_t count = 0;
  std::array<uint32_t, 20> values{};
};

// A line of calls.def. A call with several of them passes by any.
struct HostCall {
  std::string_view name;
  uint32_t nr;
  uint8_t roles;
  std::array<ArgTest, 3> tests;
  std::string_view why;  // What it is for, and what makes it harmless if no cookies are asked for.
  bool rare;             // No test makes it; `why` says who does.
};
std::span<const HostCall> host_calls();

// The conditions as people read them: "request is one of ..., cookies".
std::string describe(const HostCall& call);
bool permits(const HostCall& call, Role role, const uint64_t (&args)[6]);

enum class Violation : uint8_t {
  kKill,    // The process ends with SIGSYS.
  kRecord,  // For tests: every call goes on, and is written down.
};
std::vector<sock_filter> confinement_filter(Role role, Violation violation);

// What confine() does in this process and its children: nothing (until it is said), its work, or,
// for tests, no more than to append a line to a file for each rule that is used and for each call
// that has none.
enum class Confinement : uint8_t { kOff, kOn, kRecord };
void set_confinement(Confinement what, int record_fd = -1);
// The descriptor of kRecord, else -1.
int recording();

// Whether this process has its filter.
bool is_confined();
// Installs the filter for the calling thread, which must be the only one, with
// no_new_privs(2const).
OrFailure<void> confine(Role role);

}  // namespace usk::host
