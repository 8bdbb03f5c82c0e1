#include <atomic>
#include <map>

#include "fs/vfs/file_signals.h"
#include "kernel/kernel.h"
#include "kernel/signal/file_signals.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

template <auto kFn>
struct Thunk;
template <class... A, SyscallResult (*kFn)(Task&, A...)>
struct Thunk<kFn> {
  static constexpr std::array<size_t, sizeof...(A) + 1> offsets() {
    std::array<size_t, sizeof...(A) + 1> o{};
    size_t i = 0, at = 0;
    ((o[i++] = at, at += Arg<A>::kRegs), ...);
    o[i] = at;
    return o;
  }
  static constexpr auto kAt = offsets();
  static_assert(kAt.back() <= 6, "a system call has six registers");

  static SyscallResult call(Task& t, const SyscallArgs& r) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      (void)r;
      return kFn(t, Arg<A>::from(&r[kAt[I]])...);
    }(std::index_sequence_for<A...>{});
  }
};

constexpr std::array<SyscallEntry, kSyscallCount> make_table() {
  std::array<SyscallEntry, kSyscallCount> t{};
#define SYSCALL(nr, name, support, ...) \
  t[nr] = {#name, #__VA_ARGS__, Support::support, Thunk<&sys::name>::call};
#define UNSUPPORTED(nr, name) t[nr] = {#name, "", Support::kNone, nullptr};
#include "syscalls/syscalls.def"
#undef SYSCALL
#undef UNSUPPORTED
  return t;
}

std::array<std::atomic<uint64_t>, kSyscallCount> g_missing;
Mutex<Rank::kLeaf> g_features_mutex;
std::map<std::string, uint64_t, std::less<>> g_features GUARDED_BY(g_features_mutex);

}  // namespace

constexpr std::array<SyscallEntry, kSyscallCount> kSyscalls = make_table();

namespace {

SyscallResult call_handler(Task& t, const SyscallFrame& frame) {
  if (frame.nr >= kSyscallCount) return Err(ENOSYS);
  if (const SyscallEntry& e = kSyscalls[frame.nr]; e.call) return e.call(t, frame.args);
  g_missing[frame.nr]++;
  return Err(ENOSYS);
}

}  // namespace

SyscallResult invoke_syscall(Task& t, SyscallFrame& frame) {
  SyscallResult r = call_handler(t, frame);
  if (file_signals_pending()) send_file_signals(t.kernel);
  return r;
}

std::vector<std::pair<uint64_t, uint64_t>> unsupported_calls() {
  std::vector<std::pair<uint64_t, uint64_t>> out;
  for (uint64_t nr = 0; nr < kSyscallCount; nr++) {
    if (const uint64_t n = g_missing[nr]) out.emplace_back(nr, n);
  }
  return out;
}

void note_unsupported(std::string_view what) {
  Lock lock(g_features_mutex);
  auto it = g_features.find(what);
  if (it != g_features.end()) {
    it->second++;
  } else if (g_features.size() < 1000) {  // The guest chooses what it asks for.
    g_features.emplace(what, 1);
  }
}

std::vector<std::pair<std::string, uint64_t>> unsupported_features() {
  Lock lock(g_features_mutex);
  return {g_features.begin(), g_features.end()};
}

}  // namespace usk
