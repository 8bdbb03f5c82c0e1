// The table of calls.def, and what its conditions mean.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "host/confinement.h"
#include "host/pagemap.h"
#include "host/terminal.h"

namespace usk::host {
namespace {

using Kind = ArgTest::Kind;

// Headers of older hosts lack it.
constexpr uint32_t kNotifSetFlags = uint32_t(_IOW('!', 4, uint64_t));

constexpr ArgTest unused(uint8_t from) { return {Kind::kUnused, from}; }
constexpr ArgTest cookie(uint8_t arg) { return {Kind::kCookie, arg}; }
constexpr ArgTest high(uint8_t arg) { return {Kind::kHigh, arg}; }
constexpr ArgTest own_pid(uint8_t arg) { return {Kind::kOwnPid, arg}; }
constexpr ArgTest without(uint8_t arg, uint32_t bits) { return {Kind::kWithout, arg, 1, {bits}}; }
constexpr ArgTest at_most(uint8_t arg, uint32_t most) { return {Kind::kAtMost, arg, 1, {most}}; }
template <class... Values>
constexpr ArgTest one_of(uint8_t arg, Values... values) {
  return {Kind::kOneOf, arg, sizeof...(Values), {uint32_t(values)...}};
}

#define CALL(name, roles, why, ...) {#name, SYS_##name, roles, {__VA_ARGS__}, why, false},
#define RARE(name, roles, why, ...) {#name, SYS_##name, roles, {__VA_ARGS__}, why, true},
constexpr HostCall kCalls[] = {
#include "host/calls.def"
};
#undef CALL
#undef RARE

bool passes(const ArgTest& t, const uint64_t (&args)[6]) {
  const uint64_t arg = args[t.arg];
  const auto* end = t.values.begin() + t.count;
  switch (t.kind) {
    case Kind::kNone: return true;
    case Kind::kUnused: return std::equal(args + t.arg, args + 6, cookies.words + t.arg);
    case Kind::kCookie: return arg == cookies.words[t.arg];
    case Kind::kHigh: return arg >> 32 == cookies.words[t.arg] >> 32;
    case Kind::kOneOf: return std::find(t.values.begin(), end, uint32_t(arg)) != end;
    case Kind::kWithout: return !(uint32_t(arg) & t.values[0]);
    case Kind::kAtMost: return arg <= t.values[0];
    case Kind::kOwnPid: return uint32_t(arg) == uint32_t(getpid());
  }
  return false;
}

std::string describe(const ArgTest& t) {
  switch (t.kind) {
    case Kind::kNone: return "";
    case Kind::kUnused:
      return t.arg == 5 ? "cookie in 5" : fmt::format("cookies in {} to 5", t.arg);
    case Kind::kCookie: return fmt::format("cookie in {}", t.arg);
    case Kind::kHigh: return fmt::format("cookie in the upper half of {}", t.arg);
    case Kind::kOneOf: {
      const auto values = std::span(t.values).first(t.count);
      if (t.count == 1) return fmt::format("{} is {:#x}", t.arg, values[0]);
      return fmt::format("{} is one of {:#x}", t.arg, fmt::join(values, " "));
    }
    case Kind::kWithout: return fmt::format("{} without {:#x}", t.arg, t.values[0]);
    case Kind::kAtMost: return fmt::format("{} at most {}", t.arg, t.values[0]);
    case Kind::kOwnPid: return fmt::format("{} is this process", t.arg);
  }
  return "";
}

}  // namespace

std::span<const HostCall> host_calls() { return kCalls; }

std::string describe(const HostCall& call) {
  std::string text;
  for (const ArgTest& t : call.tests) {
    if (t.kind == Kind::kNone) continue;
    text += (text.empty() ? "" : "; ") + describe(t);
  }
  return text;
}

bool permits(const HostCall& call, Role role, const uint64_t (&args)[6]) {
  return (call.roles & role) &&
         std::ranges::all_of(call.tests, [&](const ArgTest& t) { return passes(t, args); });
}

}  // namespace usk::host
