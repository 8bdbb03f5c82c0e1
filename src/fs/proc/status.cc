// /proc/PID/stat, statm and status: proc_pid_stat(5), proc_pid_statm(5), proc_pid_status(5).
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "fs/proc/process_files.h"
#include "fs/proc/system_values.h"
#include "fs/proc/task_state.h"
#include "kernel/task/exit.h"
#include "platform/platform.h"

namespace usk::proc {
namespace {

constexpr int64_t kNsPerTick = 10'000'000;  // USER_HZ is 100.

struct SignalSets {
  SignalSet ignored = 0, caught = 0;
};

SignalSets signal_sets(const Task& t) REQUIRES(task_mutex) {
  SignalSets s;
  if (!t.group->handlers) return s;
  for (int sig = 1; sig <= kSignals; sig++) {
    const SignalAction& a = t.group->handlers->of(sig);
    if (a.is_ignore()) s.ignored |= signal_bit(sig);
    if (!a.is_ignore() && !a.is_default()) s.caught |= signal_bit(sig);
  }
  return s;
}

// Sizes in bytes; all zero for what has no memory.
struct Sizes {
  uint64_t total = 0, peak = 0, resident = 0, data = 0, stack = 0, exec = 0, text = 0, locked = 0,
           shared = 0;
};

Sizes sizes_of(AddressSpace* mm) {
  Sizes s;
  if (!mm) return s;
  const MemoryTotals t = mm->totals();
  s.total = t.total;
  s.peak = std::max(mm->peak_total(), t.total);
  s.resident = std::min(mm->space().resident_bytes(), t.total);
  s.data = t.data;
  s.stack = t.stack;
  s.exec = t.exec;
  // The program's own part of it.
  const AddressSpace::Layout& l = mm->layout;
  if (l.end_code > l.start_code) s.text = page_up(l.end_code) - page_down(l.start_code);
  s.locked = t.locked;
  return s;
}

// What only the process has and not its threads.
struct Kin {
  int parent = 0, group = 0, session = 0;
  int threads = 1;
};

Kin kin_of(const Subject& s, const Task& t) REQUIRES(task_mutex) {
  Kin k;
  const ThreadGroup& g = *t.group;
  if (g.parent) k.parent = s.nr(g.parent->pid);
  k.threads = int(g.tasks.size());
  if (!g.process_group) return k;
  k.group = s.nr(g.process_group->id);
  k.session = s.nr(g.session().id);
  return k;
}

// tty_nr and tpgid. The terminal has locks of its own, which come before the task lock.
struct Console {
  int number = 0, foreground = -1;
};

Console console_of(const Subject& s, const Task& t) EXCLUDES(task_mutex) {
  Console c;
  Ref<Terminal> tty;
  {
    Lock lock(task_mutex);
    if (t.group->process_group) tty = t.group->session().terminal;
  }
  if (!tty) return c;
  const Dev dev = tty->dev();
  c.number = int(minor(dev) & 0xff) | int(major(dev)) << 8 | int(minor(dev) & ~0xffu) << 12;
  const GroupId group = tty->foreground();
  Lock lock(task_mutex);
  const Ref<Pid> pid = s.kernel().root_pid_ns->find(group);
  c.foreground = pid ? s.nr(pid) : -1;
  return c;
}

}  // namespace

char state_letter(const Task& t) {
  if (t.is_leader() && t.group->zombie) return 'Z';
  if (t.dead) return t.is_leader() || t.traced ? 'Z' : 'X';
  if (t.tracing.stop) return 't';
  if (t.in_group_stop) return 'T';
  if (&t == current_task()) return 'R';
  if (t.state.is<SyscallReinvoke>()) return 'S';
  if (t.state.is<SyscallUserNotif>()) {
    // One that waits on beside a signal is waiting for its answer or the end.
    return (t.pending.set() | t.group->pending.set()) & ~t.blocked ? 'D' : 'S';
  }
  if (t.state.is<SyscallAfterVforkStop>()) return 'D';
  // Process 1 has no code of its own and sleeps for ever.
  return t.cpu && !t.cpu->sleeps_in() ? 'R' : 'S';
}

const char* state_name_of(char letter) {
  switch (letter) {
    case 'R': return "running";
    case 'S': return "sleeping";
    case 'D': return "disk sleep";
    case 'T': return "stopped";
    case 't': return "tracing stop";
    case 'Z': return "zombie";
    default: return "dead";
  }
}

Result<std::string> stat_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  const Ref<AddressSpace> mm = TRY(s.memory());
  const Sizes sizes = sizes_of(mm.get());
  // Addresses are for those who may look into the task.
  const bool open = bool(s.check_access());
  const Console tty = console_of(s, *t);
  const AddressSpace::Layout l = mm && open ? mm->layout : AddressSpace::Layout{};
  Lock lock(task_mutex);
  ThreadGroup& g = *t->group;
  const Kin k = kin_of(s, *t);
  const SignalSets sets = signal_sets(*t);
  const Usage u = s.thread() ? thread_usage(*t) : group_usage(g);
  const Usage& c = g.reaped_children;
  const bool realtime = t->policy == SCHED_FIFO || t->policy == SCHED_RR;
  std::string out = fmt::format(
      "{} ({}) {} {} {} {} {} {} {} {} {} {} {} {} {} {} {} ", s.number(), t->name(),
      state_letter(*t), k.parent, k.group, k.session, tty.number, tty.foreground, 0x400000,
      u.minor_faults, c.minor_faults, u.major_faults, c.major_faults, u.user_ns / kNsPerTick,
      u.system_ns / kNsPerTick, c.user_ns / kNsPerTick, c.system_ns / kNsPerTick);
  out += fmt::format("{} {} {} 0 {} {} {} {} {} {} {} 0 0 ",
                     realtime ? -1 - t->realtime_priority : 20 + t->nice, t->nice, k.threads,
                     (s.thread() ? t->start_ns : g.start_ns) / kNsPerTick, sizes.total,
                     sizes.resident / platform::kPageSize, g.limits[RLIMIT_RSS].rlim_cur,
                     l.start_code, l.end_code, l.start_stack);
  constexpr SignalSet kShown = 0x7fffffff;
  out += fmt::format("{} {} {} {} 0 0 0 {} 0 {} {} 0 0 0 ", t->pending.set() & kShown,
                     t->blocked & kShown, sets.ignored & kShown, sets.caught & kShown,
                     t->exit_signal, t->realtime_priority, t->policy);
  return out + fmt::format("{} {} {} {} {} {} {} {}\n", l.start_data, l.end_data, l.start_brk,
                           l.arg_start, l.arg_end, l.env_start, l.env_end,
                           open ? t->exit_status : 0);
}

Result<std::string> statm_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  const Sizes z = sizes_of(mm.get());
  constexpr uint64_t kPage = platform::kPageSize;
  return fmt::format("{} {} {} {} 0 {} 0\n", z.total / kPage, z.resident / kPage, z.shared / kPage,
                     z.text / kPage, (z.data + z.stack) / kPage);
}

namespace {

// The numbers of `pid` in this instance's namespace and those below that `t` is in.
std::string numbers_below(const Subject& s, const Task& t, const Ref<Pid>& pid) {
  std::vector<int> all = pid->numbers();  // Innermost first.
  std::reverse(all.begin(), all.end());
  all.resize(t.pid->numbers().size());
  std::string out;
  for (size_t level = size_t(s.ns().level()); level < all.size(); level++) {
    out += fmt::format("\t{}", all[level]);
  }
  return out;
}

std::string identity_lines(const Subject& s, const Task& t, size_t fd_size) REQUIRES(task_mutex) {
  const Creds& c = *t.creds;
  const Task* reader = current_task();
  const UserNamespace& ids = reader ? *reader->creds->user_ns : *c.user_ns;
  const Kin k = kin_of(s, t);
  const char letter = state_letter(t);
  std::string groups;
  for (Gid g : c.groups) groups += fmt::format("{} ", ids.gid_out(g));
  if (groups.empty()) groups = " ";
  return fmt::format(
             "State:\t{} ({})\nTgid:\t{}\nNgid:\t0\nPid:\t{}\nPPid:\t{}\nTracerPid:\t{}\n"
             "Uid:\t{}\t{}\t{}\t{}\nGid:\t{}\t{}\t{}\t{}\n",
             letter, state_name_of(letter), s.nr(t.group->pid), s.nr(t.pid), k.parent,
             t.tracing.tracer ? s.nr(t.tracing.tracer->pid) : 0, ids.uid_out(c.uid),
             ids.uid_out(c.euid), ids.uid_out(c.suid), ids.uid_out(c.fsuid), ids.gid_out(c.gid),
             ids.gid_out(c.egid), ids.gid_out(c.sgid), ids.gid_out(c.fsgid)) +
         fmt::format("FDSize:\t{}\nGroups:\t{}\nNStgid:{}\nNSpid:{}\nNSpgid:{}\nNSsid:{}\n",
                     fd_size, groups, numbers_below(s, t, t.group->pid), numbers_below(s, t, t.pid),
                     t.group->process_group ? numbers_below(s, t, t.group->process_group->id) : "",
                     t.group->process_group ? numbers_below(s, t, t.group->session().id) : "");
}

std::string memory_lines(AddressSpace* mm, bool dumping) {
  if (!mm) return {};
  const Sizes z = sizes_of(mm);
  std::string out;
  const std::pair<const char*, uint64_t> lines[] = {{"VmPeak", z.peak},
                                                    {"VmSize", z.total},
                                                    {"VmLck", z.locked},
                                                    {"VmPin", 0},
                                                    {"VmHWM", z.resident},
                                                    {"VmRSS", z.resident},
                                                    {"RssAnon", z.resident},
                                                    {"RssFile", 0},
                                                    {"RssShmem", 0},
                                                    {"VmData", z.data},
                                                    {"VmStk", z.stack},
                                                    {"VmExe", z.text},
                                                    {"VmLib", z.exec - std::min(z.exec, z.text)},
                                                    {"VmPTE", z.total >> 9},
                                                    {"VmSwap", 0}};
  for (auto& [name, bytes] : lines) out += fmt::format("{}:\t{:8} kB\n", name, bytes >> 10);
  return out + fmt::format("HugetlbPages:\t       0 kB\nCoreDumping:\t{}\nTHP_enabled:\t{}\n",
                           dumping ? 1 : 0, mm->thp_disabled ? 0 : 1);
}

std::string signal_lines(const Task& t) REQUIRES(task_mutex) {
  const SignalSets sets = signal_sets(t);
  const ThreadGroup& g = *t.group;
  return fmt::format(
      "Threads:\t{}\nSigQ:\t{}/{}\nSigPnd:\t{:016x}\nShdPnd:\t{:016x}\nSigBlk:\t{:016x}\n"
      "SigIgn:\t{:016x}\nSigCgt:\t{:016x}\n",
      g.tasks.size(), t.pending.size() + g.pending.size(), g.limits[RLIMIT_SIGPENDING].rlim_cur,
      t.pending.set(), g.pending.set(), t.blocked, sets.ignored, sets.caught);
}

std::string capability_lines(const Task& t) REQUIRES(task_mutex) {
  const Creds& c = *t.creds;
  return fmt::format(
      "CapInh:\t{:016x}\nCapPrm:\t{:016x}\nCapEff:\t{:016x}\nCapBnd:\t{:016x}\nCapAmb:\t{:016x}\n"
      "NoNewPrivs:\t{}\nSeccomp:\t{}\nSeccomp_filters:\t{}\n"
      "Speculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\tconditional enabled\n",
      c.inheritable, c.permitted, c.effective, c.bounding, c.ambient, c.no_new_privs ? 1 : 0,
      int(t.seccomp.mode.load()), t.seccomp.filter_count);
}

// "ff" and "0-7" of a set of processors.
std::string cpu_lines(const cpu_set_t& set) {
  std::string list;
  std::vector<uint32_t> words(1);
  const int cpus = std::min(cpu_count(), CPU_SETSIZE);
  for (int cpu = 0; cpu < cpus; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    int last = cpu;
    while (last + 1 < cpus && CPU_ISSET(last + 1, &set)) last++;
    list += list.empty() ? "" : ",";
    list += last == cpu ? fmt::format("{}", cpu) : fmt::format("{}-{}", cpu, last);
    for (; cpu <= last; cpu++) {
      words.resize(std::max<size_t>(words.size(), size_t(cpu) / 32 + 1));
      words[size_t(cpu) / 32] |= 1u << (cpu % 32);
    }
  }
  std::string mask = fmt::format("{:x}", words.back());
  for (size_t i = words.size() - 1; i-- > 0;) mask += fmt::format(",{:08x}", words[i]);
  return fmt::format(
      "Cpus_allowed:\t{}\nCpus_allowed_list:\t{}\nMems_allowed:\t1\n"
      "Mems_allowed_list:\t0\n",
      mask, list);
}

// A name in one line: newlines and backslashes as escapes.
std::string escape_name(const std::string& name) {
  std::string out;
  for (char c : name) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\')
      out += "\\\\";
    else
      out += c;
  }
  return out;
}

}  // namespace

Result<std::string> status_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  const Ref<AddressSpace> mm = TRY(s.memory());
  uint32_t umask = 022;
  Ref<FsState> fs;
  std::string who;
  bool dumping;
  {
    Lock lock(task_mutex);
    dumping = t->group->core_dump != nullptr;
    fs = t->fs;
    who = escape_name(t->name());
  }
  const Ref<FdTable> fds = TRY(s.fds());
  const size_t fd_size = fds ? std::max<size_t>(fds->size(), 64) : 0;
  if (fs) umask = fs->umask();
  const std::string memory = memory_lines(mm.get(), dumping);
  Lock lock(task_mutex);
  std::string out = fmt::format("Name:\t{}\n", who);
  if (fs) out += fmt::format("Umask:\t{:04o}\n", umask);
  out += identity_lines(s, *t, fd_size) + memory + signal_lines(*t) + capability_lines(*t) +
         cpu_lines(t->affinity);
  const Usage u = thread_usage(*t);
  return out + fmt::format("voluntary_ctxt_switches:\t{}\nnonvoluntary_ctxt_switches:\t{}\n",
                           u.voluntary, u.involuntary);
}

}  // namespace usk::proc
