#include "syscalls/trace.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <string.h>
#include <sys/wait.h>

#include <map>

#include "kernel/run/watched_calls.h"
#include "syscalls/syscalls.h"
#include "syscalls/trace_flags.h"

namespace usk {

std::string errno_name(int code) {
  switch (code) {
    case kERESTARTSYS: return "ERESTARTSYS";
    case kERESTARTNOINTR: return "ERESTARTNOINTR";
    case kERESTARTNOHAND: return "ERESTARTNOHAND";
    case kERESTART_RESTARTBLOCK: return "ERESTART_RESTARTBLOCK";
    default: break;
  }
  const char* name = strerrorname_np(code);
  return name ? name : std::to_string(code);
}

std::string signal_name(int sig) {
  const char* name = sigabbrev_np(sig);
  if (name) return fmt::format("SIG{}", name);
  if (sig >= kFirstRealtime && sig <= kSignals)
    return fmt::format("SIGRT_{}", sig - kFirstRealtime);
  return std::to_string(sig);
}

namespace {

constexpr size_t kMaxShown = 32;

std::string quote(std::string_view s, bool cut) {
  std::string out = "\"";
  for (size_t i = 0; i < s.size(); i++) {
    const unsigned char c = static_cast<unsigned char>(s[i]);
    const bool digit_follows = i + 1 < s.size() && s[i + 1] >= '0' && s[i + 1] <= '7';
    switch (c) {
      case '\n': out += "\\n"; break;
      case '\t': out += "\\t"; break;
      case '\r': out += "\\r"; break;
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      default:
        if (c >= 0x20 && c < 0x7f) {
          out += char(c);
        } else {
          out += digit_follows ? fmt::format("\\{:03o}", c) : fmt::format("\\{:o}", c);
        }
    }
  }
  return out + (cut ? "\"..." : "\"");
}

std::string hex(uint64_t v) { return v ? fmt::format("{:#x}", v) : "NULL"; }

std::string show_bytes(Task& t, uint64_t addr, uint64_t length) {
  if (!addr) return "NULL";
  std::string s(std::min<uint64_t>(length, kMaxShown), 0);
  if (!t.mm || !t.mem().copy_in(std::as_writable_bytes(std::span(s)), addr)) return hex(addr);
  return quote(s, length > s.size());
}

// How an argument prints. One overload per type; Out is left for the end of the call.
std::string show(Task&, Fd v) { return std::to_string(v.n); }
std::string show(Task&, PidNr v) { return std::to_string(v.n); }
std::string show(Task&, SignalNr v) { return v.n ? signal_name(v.n) : "0"; }
std::string show(Task&, DirFd v) { return v.n == AT_FDCWD ? "AT_FDCWD" : std::to_string(v.n); }
std::string show(Task&, ModeBits v) { return fmt::format("{:#o}", v.bits); }
std::string show(Task&, OpenFlags v) { return open_flags(v.bits); }
std::string show(Task&, MmapProt v) { return mmap_prot(v.bits); }
std::string show(Task&, MmapFlags v) { return mmap_flags(v.bits); }
std::string show(Task&, AtFlags v) { return at_flags(v.bits); }
std::string show(Task&, CloneFlags v) { return clone_flags(v.bits); }
template <class Tag>
std::string show(Task&, Flags<Tag> v) {
  return v.bits ? fmt::format("{:#x}", v.bits) : "0";
}
std::string show(Task& t, UserStr v) {
  if (!v.addr) return "NULL";
  auto s = t.mem().get_string(v, 4095);
  return s ? quote(*s, false) : hex(v.addr);
}
std::string show(Task& t, UserPath v) { return show(t, UserStr(v)); }
std::string show(Task& t, UserIn v) {
  return fmt::format("{}, {}", show_bytes(t, v.addr, v.len), v.len);
}
std::string show(Task&, UserOut v) { return fmt::format("{}, {}", hex(v.addr), v.len); }
std::string show(Task&, UserIov v) { return fmt::format("{}, {}", hex(v.addr), v.count); }
template <class T>
std::string show(Task&, UserPtr<T> v) {
  return hex(v.addr);
}
template <std::integral I>
std::string show(Task&, I v) {
  if constexpr (sizeof(I) == 8 && std::is_unsigned_v<I>) {
    if (v > 0xffffff) return fmt::format("{:#x}", v);
  }
  return std::to_string(v);
}

struct Shown {
  std::vector<std::string> args;
  // The argument that the call fills, if any.
  int out_index = -1;
  UserOut out{};
};

template <class... A>
Shown show_args(Task& t, const SyscallArgs& r, SyscallResult (*)(Task&, A...)) {
  Shown s;
  [[maybe_unused]] size_t at = 0;
  (void)r;
  (
      [&] {
        const A v = Arg<A>::from(&r[at]);
        at += Arg<A>::kRegs;
        if constexpr (std::same_as<A, UserOut>) {
          s.out_index = int(s.args.size());
          s.out = v;
        }
        s.args.push_back(show(t, v));
      }(),
      ...);
  return s;
}

Shown show_call(Task& t, const SyscallFrame& f) {
  switch (f.nr) {
#define SYSCALL(nr, name, support, ...) \
  case nr: return show_args(t, f.args, &sys::name);
#define UNSUPPORTED(nr, name)
#include "syscalls/syscalls.def"
#undef SYSCALL
#undef UNSUPPORTED
    default: break;
  }
  Shown s;
  for (uint64_t a : f.args) s.args.push_back(fmt::format("{:#x}", a));
  return s;
}

std::string call_name(uint64_t nr) {
  if (nr < kSyscallCount && !kSyscalls[nr].name.empty()) return std::string(kSyscalls[nr].name);
  return fmt::format("syscall_{:#x}", nr);
}

std::string result_text(uint64_t nr, int64_t r) {
  if (r < 0 && r >= -4095) {
    const int code = int(-r);
    if (code >= kERESTARTSYS && code <= kERESTART_RESTARTBLOCK) {
      return fmt::format("? {}", errno_name(code));
    }
    return fmt::format("-1 {} ({})", errno_name(code), strerror(code));
  }
  const bool address = nr == 9 || nr == 12 || nr == 25 || nr == 30;
  return address ? fmt::format("{:#x}", uint64_t(r)) : std::to_string(r);
}

class Tracer final : public CallTrace, public CallObserver {
 public:
  Tracer(Kernel& kernel, TraceChoice choice, std::function<void(const std::string&)> write)
      : kernel_(kernel), choice_(std::move(choice)), write_(std::move(write)) {
    kernel_.hooks.observers.push_back(this);
    watch_all();
  }
  ~Tracer() override {
    std::erase(kernel_.hooks.observers, this);
    watch_all();
  }

  void entered(Task& t, const SyscallFrame& f) override {
    if (shows(t, f.nr)) calls_[&t] = show_call(t, f);
  }

  void left(Task& t, const SyscallFrame& f, int64_t result) override {
    if (!shows(t, f.nr)) return;
    const auto it = calls_.find(&t);
    if (it == calls_.end()) {  // It was in the call when the trace began.
      return line(t, fmt::format("<... {} resumed>", call_name(f.nr)), result_text(f.nr, result));
    }
    Shown s = std::move(it->second);
    calls_.erase(it);
    if (s.out_index >= 0 && result > 0) {
      s.args[size_t(s.out_index)] =
          fmt::format("{}, {}", show_bytes(t, s.out.addr, uint64_t(result)), s.out.len);
    }
    line(t, fmt::format("{}({})", call_name(f.nr), fmt::join(s.args, ", ")),
         result_text(f.nr, result));
  }

  void signalled(Task& t, const siginfo_t& info) override {
    if (choice_.calls || !is_chosen(t)) return;
    write_(fmt::format("{}--- {} {{si_signo={}, si_code={}, si_pid={}, si_uid={}}} ---\n",
                       prefix(t), signal_name(info.si_signo), signal_name(info.si_signo),
                       info.si_code, info.si_pid, info.si_uid));
  }

  void exited(Task& t, int status) override {
    if (!is_chosen(t)) return;
    if (auto it = calls_.find(&t); it != calls_.end()) {
      line(t, fmt::format("{}({})", call_name(t.frame.nr), fmt::join(it->second.args, ", ")), "?");
      calls_.erase(it);
    }
    if (choice_.calls) return;
    write_(prefix(t) + (WIFSIGNALED(status)
                            ? fmt::format("+++ killed by {} +++\n", signal_name(WTERMSIG(status)))
                            : fmt::format("+++ exited with {} +++\n", WEXITSTATUS(status))));
  }

 private:
  bool is_chosen(const Task& t) const {
    return !choice_.pid || t.group->pid->root_nr() == choice_.pid;
  }
  bool shows(const Task& t, uint64_t nr) const {
    return is_chosen(t) && (!choice_.calls || choice_.calls->contains(nr));
  }
  // Those that the platform answers by itself are seen as well from now on, or need not be.
  void watch_all() EXCLUDES(task_mutex) {
    for (const Ref<Task>& t : kernel_.all_tasks()) {
      if (t->cpu && t->mm) watch_calls(*t);
    }
  }
  std::string prefix(Task& t) const { return fmt::format("[pid {:5}] ", t.tid()); }
  void line(Task& t, const std::string& call, const std::string& result) {
    write_(fmt::format("{}{:<39} = {}\n", prefix(t), call, result));
  }

  Kernel& kernel_;
  const TraceChoice choice_;
  const std::function<void(const std::string&)> write_;
  std::map<Task*, Shown> calls_;
};

}  // namespace

std::unique_ptr<CallTrace> trace_calls(Kernel& kernel, TraceChoice choice,
                                       std::function<void(const std::string&)> write) {
  return std::make_unique<Tracer>(kernel, std::move(choice), std::move(write));
}

}  // namespace usk
