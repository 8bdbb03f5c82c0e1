// The entries of /proc/PID and /proc/PID/task/TID.
#include <fmt/format.h>
#include <linux/capability.h>

#include <charconv>

#include "fs/proc/maps_of_ids.h"
#include "fs/proc/process_files.h"
#include "fs/vfs/internal.h"
#include "fs/vfs/saving.h"
#include "kernel/core/core_area.h"
#include "kernel/task/exit.h"
#include "kernel/task/namespace_file.h"
#include "state/singletons.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444, kPrivate = S_IFREG | 0400, kWritable = S_IFREG | 0644;
constexpr uint32_t kDir = S_IFDIR | 0555, kLink = S_IFLNK | 0777;

Result<std::string> comm_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  return t->name() + "\n";
}

// A thread of the process itself may rename it.
Result<void> set_comm(const Subject& s, std::string_view text) {
  const Ref<Task> t = TRY(s.task());
  Task* writer = current_task();
  if (!writer || writer->group != t->group) return Err(EINVAL);
  text = text.substr(0, 15);
  t->set_name(text.substr(0, text.find_first_of(std::string_view("\n\0", 2))));
  return {};
}

// --- Links.

Result<Path> exe_goal(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm || !mm->executable) return Err(ENOENT);
  return mm->executable->path();
}

Result<Ref<FsState>> fs_of(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  if (!t->fs) return Err(ENOENT);
  return t->fs;
}

Result<Path> cwd_goal(const Subject& s) { return TRY(fs_of(s))->cwd(); }
Result<Path> root_goal(const Subject& s) { return TRY(fs_of(s))->root(); }

// --- Namespaces: namespaces(7).

class NsInode final : public InternalInode {
 public:
  NsInode(Ref<InternalFs> fs, NamespaceRef ns)
      : InternalInode(fs, ns.id(), S_IFREG | 0444, Creds()), ns_(std::move(ns)) {}
  explicit NsInode(Blank b) : InternalInode(b) {}
  USK_FIELDS_OF(InternalInode, ns_)
  OrFailure<void> restored(state::Restored& r) {
    TRY(Inode::restored(r));
    return ns_.check();
  }
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    if ((flags & O_ACCMODE) != O_RDONLY) return Err(EPERM);
    return make_ref<NamespaceFile>(std::move(path), flags, std::move(creds), ns_);
  }
  Result<void> setattr(const AttrChange&) override { return Err(EPERM); }

 private:
  NamespaceRef ns_;
};

InternalFs& nsfs() {
  // Never destroyed: files may outlive statics.
  static InternalFs& fs = *make_ref<InternalFs>("nsfs", 0x6e736673).release();
  return fs;
}

USK_SINGLETON(nsfs, "nsfs")
USK_SAVED(NsInode, "fs/proc/ns-inode")

template <uint64_t kType, bool kForChildren>
Result<NamespaceRef> ns_of(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  NamespaceRef ref = namespace_of(*t, kType, kForChildren);
  if (ref.id() == 0) return Err(ENOENT);
  return ref;
}

constexpr uint64_t kNewTime = 0x80;

const char* ns_kind(uint64_t type) {
  switch (type) {
    case CLONE_NEWNS: return "mnt";
    case CLONE_NEWUTS: return "uts";
    case CLONE_NEWNET: return "net";
    case CLONE_NEWIPC: return "ipc";
    case CLONE_NEWCGROUP: return "cgroup";
    case CLONE_NEWPID: return "pid";
    case CLONE_NEWUSER: return "user";
    default: return "time";
  }
}

template <uint64_t kType, bool kForChildren = false>
Result<Path> ns_goal(const Subject& s) {
  NamespaceRef ref = TRY((ns_of<kType, kForChildren>(s)));
  const std::string name = fmt::format("{}:[{}]", ns_kind(kType), ref.id());
  return internal_path(make_ref<NsInode>(Ref<InternalFs>::share(&nsfs()), std::move(ref)), name);
}

constexpr Entry kNs[] = {
    {.name = "cgroup", .mode = kLink, .goal = ns_goal<CLONE_NEWCGROUP>},
    {.name = "ipc", .mode = kLink, .goal = ns_goal<CLONE_NEWIPC>},
    {.name = "mnt", .mode = kLink, .goal = ns_goal<CLONE_NEWNS>},
    {.name = "net", .mode = kLink, .goal = ns_goal<CLONE_NEWNET>},
    {.name = "pid", .mode = kLink, .goal = ns_goal<CLONE_NEWPID>},
    {.name = "pid_for_children", .mode = kLink, .goal = ns_goal<CLONE_NEWPID, true>},
    {.name = "time", .mode = kLink, .goal = ns_goal<kNewTime>},
    {.name = "time_for_children", .mode = kLink, .goal = ns_goal<kNewTime, true>},
    {.name = "user", .mode = kLink, .goal = ns_goal<CLONE_NEWUSER>},
    {.name = "uts", .mode = kLink, .goal = ns_goal<CLONE_NEWUTS>},
};

// --- Mounts.

Result<std::string> mounts_of(const Subject& s, bool info) {
  const Ref<Task> t = TRY(s.task());
  Ref<MountNamespace> mounts;
  {
    Lock lock(task_mutex);
    mounts = t->ns.mounts;
  }
  if (!mounts) return Err(EINVAL);
  const Path root = TRY(root_goal(s));
  return info ? mounts->mountinfo_text(root) : mounts->mounts_text(root);
}

Result<std::string> mounts_text(const Subject& s) { return mounts_of(s, false); }
Result<std::string> mountinfo_text(const Subject& s) { return mounts_of(s, true); }

Result<std::string> mountstats_text(const Subject& s) {
  std::string out, rest = TRY(mounts_of(s, false));
  for (size_t at = 0; at < rest.size(); at = rest.find('\n', at) + 1) {
    const size_t a = rest.find(' ', at), b = rest.find(' ', a + 1), c = rest.find(' ', b + 1);
    out += fmt::format("device {} mounted on {} with fstype {}\n", rest.substr(at, a - at),
                       rest.substr(a + 1, b - a - 1), rest.substr(b + 1, c - b - 1));
  }
  return out;
}

// --- Small numbers.

template <auto kRead>
Result<std::string> number_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  return fmt::format("{}\n", kRead(*t));
}

constexpr auto kOomAdj = [](const Task& t) REQUIRES(task_mutex) { return t.group->oom_score_adj; };
constexpr auto kOldOomAdj = [](const Task& t)
                                REQUIRES(task_mutex) { return t.group->oom_score_adj * 17 / 1000; };
constexpr auto kOomScore = [](const Task& t) REQUIRES(task_mutex) {
  return std::max(0, 666 + t.group->oom_score_adj * 2 / 3);
};
constexpr auto kSlack = [](const Task& t) { return t.timer_slack_ns; };

Result<int64_t> parse_signed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  int64_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size()) return Err(EINVAL);
  return v;
}

// Below what it was takes CAP_SYS_RESOURCE.
Result<void> write_oom(const Subject& s, int64_t value) {
  const Ref<Task> t = TRY(s.task());
  Task* writer = current_task();
  Lock lock(task_mutex);
  const bool may = writer && writer->creds->capable(CAP_SYS_RESOURCE, *t->creds->user_ns);
  if (value < t->group->oom_score_adj && !may) return Err(EACCES);
  t->group->oom_score_adj = int(value);
  return {};
}

Result<void> set_oom_score_adj(const Subject& s, std::string_view text) {
  const int64_t v = TRY(parse_signed(text));
  if (v < -1000 || v > 1000) return Err(EINVAL);
  return write_oom(s, v);
}

Result<void> set_oom_adj(const Subject& s, std::string_view text) {
  const int64_t v = TRY(parse_signed(text));
  if (v < -17 || v > 15) return Err(EINVAL);
  return write_oom(s, v == 15 ? 1000 : v * 1000 / 17);
}

Result<void> set_timer_slack(const Subject& s, std::string_view text) {
  const int64_t v = TRY(parse_signed(text));
  if (v < 0) return Err(EINVAL);
  const Ref<Task> t = TRY(s.task());
  if (t.get() != current_task() && !current_task()->capable(CAP_SYS_NICE)) return Err(EPERM);
  t->timer_slack_ns = v ? uint64_t(v) : 50000;
  return {};
}

// Files that are opened by their permissions alone, and ask when they are read.
Result<void> check_reader(const Subject& s) {
  const Result<void> done = s.check_attach();
  return failed_with(done, EACCES) ? Err(EPERM) : done;
}

Result<std::string> personality_text(const Subject& s) {
  TRY(check_reader(s));
  return fmt::format("{:08x}\n", TRY(s.task())->personality);
}

Result<std::string> cgroup_text(const Subject&) { return "0::/\n"; }
Result<std::string> no_id_text(const Subject&) { return "4294967295"; }
Result<std::string> zero_text(const Subject&) { return "0"; }

// coredump_filter. Bits that mean nothing are not kept.
Result<std::string> dump_filter_text(const Subject& s) {
  const Ref<AddressSpace> mm = TRY(s.memory());
  return mm ? fmt::format("{:08x}\n", mm->dump_filter) : std::string();
}

Result<void> set_dump_filter(const Subject& s, std::string_view text) {
  const uint32_t filter = TRY(parse_uint(text));
  const Ref<AddressSpace> mm = TRY(s.memory());
  if (!mm) return Err(ESRCH);
  mm->dump_filter = filter & kDumpFilterBits;
  return {};
}

Result<std::string> attr_text(const Subject&) { return Err(EINVAL); }

Result<std::string> io_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  const Usage u = s.thread() ? thread_usage(*t) : group_usage(*t->group);
  return fmt::format(
      "rchar: {}\nwchar: {}\nsyscr: {}\nsyscw: {}\nread_bytes: {}\nwrite_bytes: {}\n"
      "cancelled_write_bytes: 0\n",
      u.read_chars, u.written_chars, u.reads, u.writes, u.in_blocks * 512, u.out_blocks * 512);
}

// Nothing of a kernel's stack can be told; Linux tells it to the privileged only.
Result<std::string> stack_text(const Subject& s) {
  if (!current_task()->capable(CAP_SYS_ADMIN)) return Err(EACCES);
  TRY(check_reader(s));
  return std::string();
}

Result<std::string> syscall_text(const Subject& s) {
  TRY(check_reader(s));
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  if (t->dead || !t->cpu) return "running\n";
  if (const auto call = t->cpu->sleeps_in()) {
    const bool known = t->state.is<SyscallReinvoke>();  // It waits there on our order.
    std::string out = std::to_string(known ? t->frame.nr : call->nr);
    for (uint64_t arg : known ? t->frame.args : call->args) out += fmt::format(" {:#x}", arg);
    return out + " 0x0 0x0\n";
  }
  if (t.get() != current_task() && s.kernel().scheduler.is_active(*t)) return "running\n";
  const Regs& regs = t->cpu->regs();
  std::string out = std::to_string(regs.syscall_nr());
  if (regs.syscall_nr() >= 0) {
    for (uint64_t arg : regs.syscall_args()) out += fmt::format(" {:#x}", arg);
  }
  return out + fmt::format(" {:#x} {:#x}\n", regs.rsp, regs.rip);
}

Result<std::string> schedstat_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  const Usage u = thread_usage(*t);
  return fmt::format("{} 0 {}\n", u.user_ns + u.system_ns, u.voluntary + u.involuntary);
}

Result<std::string> sched_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  const Usage u = thread_usage(*t);
  const bool realtime = t->policy == SCHED_FIFO || t->policy == SCHED_RR;
  const int64_t ran = u.user_ns + u.system_ns;
  std::string out = fmt::format("{} ({}, #threads: {})\n{:-<67}\n", t->name(), s.number(),
                                t->group->tasks.size(), "");
  const auto line = [&](const char* name, auto value) {
    out += fmt::format("{:<45}:{:>21}\n", name, value);
  };
  line("se.sum_exec_runtime", fmt::format("{}.{:06}", ran / 1000000, ran % 1000000));
  line("se.nr_migrations", 0);
  line("nr_switches", u.voluntary + u.involuntary);
  line("nr_voluntary_switches", u.voluntary);
  line("nr_involuntary_switches", u.involuntary);
  line("policy", t->policy);
  line("prio", realtime ? 99 - t->realtime_priority : 120 + t->nice);
  return out;
}

// Children that this thread made.
Result<std::string> children_text(const Subject& s) {
  const Ref<Task> t = TRY(s.task());
  Lock lock(task_mutex);
  std::string out;
  for (const ThreadGroup* child : t->group->children) {
    if (!child->leader) continue;
    const Task* by = child->leader->parent_thread;
    if (by ? by != t.get() : !t->is_leader()) continue;
    if (const int nr = s.nr(child->pid)) out += fmt::format("{} ", nr);
  }
  return out;
}

constexpr Entry kAttr[] = {
    {.name = "current", .mode = kWritable, .text = attr_text},
    {.name = "exec", .mode = kWritable, .text = attr_text},
    {.name = "prev", .mode = kFile, .text = attr_text},
};

// Entries that processes and threads both have, by name; PROCESS_ONLY ones stand apart.
#define USK_TASK_ENTRIES                                                                          \
  {.name = "attr", .mode = kDir, .children = kAttr},                                              \
      {.name = "auxv", .mode = kPrivate, .text = auxv_text, .guarded = true},                     \
      {.name = "cgroup", .mode = kFile, .text = cgroup_text},                                     \
      {.name = "cmdline", .mode = kFile, .text = cmdline_text},                                   \
      {.name = "comm", .mode = kWritable, .text = comm_text, .write = set_comm},                  \
      {.name = "cwd", .mode = kLink, .goal = cwd_goal},                                           \
      {.name = "environ", .mode = kPrivate, .text = environ_text, .guarded = true},               \
      {.name = "exe", .mode = kLink, .goal = exe_goal},                                           \
      {.name = "fd", .mode = S_IFDIR | 0500, .make = make_fd_dir},                                \
      {.name = "fdinfo", .mode = kDir, .make = make_fdinfo_dir},                                  \
      {.name = "gid_map", .mode = kWritable, .text = gid_map_text, .write = write_gid_map},       \
      {.name = "io", .mode = kPrivate, .text = io_text, .guarded = true},                         \
      {.name = "limits", .mode = kFile, .text = limits_text},                                     \
      {.name = "loginuid", .mode = kFile, .text = no_id_text},                                    \
      {.name = "maps", .mode = kFile, .text = maps_text, .guarded = true},                        \
      {.name = "mem", .mode = S_IFREG | 0600, .make = make_mem_file},                             \
      {.name = "mountinfo", .mode = kFile, .text = mountinfo_text},                               \
      {.name = "mounts", .mode = kFile, .text = mounts_text},                                     \
      {.name = "net", .mode = kDir, .make = make_net_dir},                                        \
      {.name = "ns", .mode = S_IFDIR | 0511, .children = kNs},                                    \
      {.name = "oom_adj",                                                                         \
       .mode = kWritable,                                                                         \
       .text = number_text<kOldOomAdj>,                                                           \
       .write = set_oom_adj},                                                                     \
      {.name = "oom_score", .mode = kFile, .text = number_text<kOomScore>},                       \
      {.name = "oom_score_adj",                                                                   \
       .mode = kWritable,                                                                         \
       .text = number_text<kOomAdj>,                                                              \
       .write = set_oom_score_adj},                                                               \
      {.name = "personality", .mode = kPrivate, .text = personality_text},                        \
      {.name = "root", .mode = kLink, .goal = root_goal},                                         \
      {.name = "sched", .mode = kFile, .text = sched_text},                                       \
      {.name = "schedstat", .mode = kFile, .text = schedstat_text},                               \
      {.name = "sessionid", .mode = kFile, .text = no_id_text},                                   \
      {.name = "setgroups", .mode = kWritable, .text = setgroups_text, .write = write_setgroups}, \
      {.name = "smaps", .mode = kFile, .text = smaps_text, .guarded = true},                      \
      {.name = "smaps_rollup", .mode = kFile, .text = smaps_rollup_text, .guarded = true},        \
      {.name = "stack", .mode = kPrivate, .text = stack_text},                                    \
      {.name = "stat", .mode = kFile, .text = stat_text},                                         \
      {.name = "statm", .mode = kFile, .text = statm_text},                                       \
      {.name = "status", .mode = kFile, .text = status_text},                                     \
      {.name = "syscall", .mode = kPrivate, .text = syscall_text},                                \
      {.name = "uid_map", .mode = kWritable, .text = uid_map_text, .write = write_uid_map}, {     \
    .name = "wchan", .mode = kFile, .text = zero_text                                             \
  }

constexpr Entry kProcess[] = {
    USK_TASK_ENTRIES,
    {.name = "coredump_filter",
     .mode = kWritable,
     .text = dump_filter_text,
     .write = set_dump_filter},
    {.name = "map_files", .mode = S_IFDIR | 0500, .make = make_map_files_dir},
    {.name = "mountstats", .mode = S_IFREG | 0400, .text = mountstats_text},
    {.name = "task", .mode = kDir, .make = make_task_dir},
    {.name = "timerslack_ns",
     .mode = S_IFREG | 0666,
     .text = number_text<kSlack>,
     .write = set_timer_slack},
};

constexpr Entry kThread[] = {
    USK_TASK_ENTRIES,
    {.name = "children", .mode = kFile, .text = children_text},
};
#undef USK_TASK_ENTRIES

}  // namespace

static const NamedTable kProcessTable("process", kProcess);
static const NamedTable kThreadTable("thread", kThread);

std::span<const Entry> process_entries() { return kProcess; }
std::span<const Entry> thread_entries() { return kThread; }

Result<std::string> limits_text(const Subject& s) {
  struct Line {
    const char *name, *unit;
    int resource;
  };
  static constexpr Line kLines[] = {{"Max cpu time", "seconds", RLIMIT_CPU},
                                    {"Max file size", "bytes", RLIMIT_FSIZE},
                                    {"Max data size", "bytes", RLIMIT_DATA},
                                    {"Max stack size", "bytes", RLIMIT_STACK},
                                    {"Max core file size", "bytes", RLIMIT_CORE},
                                    {"Max resident set", "bytes", RLIMIT_RSS},
                                    {"Max processes", "processes", RLIMIT_NPROC},
                                    {"Max open files", "files", RLIMIT_NOFILE},
                                    {"Max locked memory", "bytes", RLIMIT_MEMLOCK},
                                    {"Max address space", "bytes", RLIMIT_AS},
                                    {"Max file locks", "locks", RLIMIT_LOCKS},
                                    {"Max pending signals", "signals", RLIMIT_SIGPENDING},
                                    {"Max msgqueue size", "bytes", RLIMIT_MSGQUEUE},
                                    {"Max nice priority", "", RLIMIT_NICE},
                                    {"Max realtime priority", "", RLIMIT_RTPRIO},
                                    {"Max realtime timeout", "us", RLIMIT_RTTIME}};
  const Ref<Task> t = TRY(s.task());
  auto value = [](uint64_t v) {
    return v == RLIM64_INFINITY ? std::string("unlimited") : std::to_string(v);
  };
  std::string out =
      fmt::format("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
  Lock lock(task_mutex);
  for (const Line& l : kLines) {
    const rlimit64& r = t->group->limits[size_t(l.resource)];
    out += fmt::format("{:<25} {:<20} {:<20} {:<10}\n", l.name, value(r.rlim_cur),
                       value(r.rlim_max), l.unit);
  }
  return out;
}

}  // namespace usk::proc
