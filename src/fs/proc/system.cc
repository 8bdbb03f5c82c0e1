// /proc: what concerns the whole system: proc_stat(5), proc_meminfo(5) and their like.
#include <fmt/format.h>
#include <sys/sysmacros.h>

#include "fs/proc/inode.h"
#include "fs/proc/ipc.h"
#include "fs/proc/system_values.h"
#include "fs/proc/task_state.h"
#include "fs/vfs/file_system.h"
#include "fs/vfs/locks.h"
#include "host/memory_size.h"
#include "host/open.h"
#include "kernel/task/exit.h"
#include "kernel/task/namespace_file.h"
#include "state/singletons.h"

namespace usk::proc {

const std::string& cpu_info() {
  static const std::string text = host::read_cpu_info();
  return text;
}

int cpu_count() {
  static const int count = [] {
    int n = 0;
    const std::string& s = cpu_info();
    for (size_t at = 0; (at = s.find("processor\t:", at)) != s.npos; at++) n++;
    return std::max(n, 1);
  }();
  return count;
}

namespace {

constexpr uint32_t kFile = S_IFREG | 0444, kDir = S_IFDIR | 0555, kLink = S_IFLNK | 0777;
constexpr int64_t kNsPerTick = 10'000'000;

// --- Links for the reader itself.

Result<std::string> self_text(const Subject& s) {
  const Task* reader = current_task();
  const int nr = reader ? s.nr(reader->group->pid) : 0;
  if (!nr) return Err(ENOENT);
  return std::to_string(nr);
}

Result<std::string> thread_self_text(const Subject& s) {
  const Task* reader = current_task();
  if (!reader || !s.nr(reader->pid)) return Err(ENOENT);
  return fmt::format("{}/task/{}", s.nr(reader->group->pid), s.nr(reader->pid));
}

Result<std::string> mounts_link(const Subject&) { return "self/mounts"; }
Result<std::string> net_link(const Subject&) { return "self/net"; }

// --- Load and time.

struct Load {
  int running = 0, blocked = 0, threads = 0;
  int64_t user_ns = 0, system_ns = 0;
};

Load load_of(Kernel& kernel) {
  Load l;
  const auto tasks = kernel.all_tasks();
  Lock lock(task_mutex);
  for (const Ref<Task>& t : tasks) {
    if (t->dead) continue;
    const Usage u = thread_usage(*t);
    l.user_ns += u.user_ns;
    l.system_ns += u.system_ns;
    l.threads++;
    const char letter = state_letter(*t);
    l.running += letter == 'R';
    l.blocked += letter == 'D';
  }
  return l;
}

Result<std::string> stat_file(const Subject& s) {
  Kernel& k = s.kernel();
  const Load l = load_of(k);
  const int cpus = cpu_count();
  const int64_t user = l.user_ns / kNsPerTick, system = l.system_ns / kNsPerTick;
  const int64_t all = k.time.now(CLOCK_BOOTTIME) / kNsPerTick * cpus;
  const int64_t idle = std::max<int64_t>(all - user - system, 0);
  std::string out = fmt::format("cpu  {} 0 {} {} 0 0 0 0 0 0\n", user, system, idle);
  for (int i = 0; i < cpus; i++) {
    out +=
        fmt::format("cpu{} {} 0 {} {} 0 0 0 0 0 0\n", i, user / cpus, system / cpus, idle / cpus);
  }
  const int64_t boot = (k.time.now(CLOCK_REALTIME) - k.time.now(CLOCK_BOOTTIME)) / 1'000'000'000;
  return out + fmt::format(
                   "intr 0\nctxt {}\nbtime {}\nprocesses {}\nprocs_running {}\n"
                   "procs_blocked {}\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
                   k.counters.traps.load(), boot, k.counters.forks.load(), std::max(l.running, 1),
                   l.blocked);
}

// Usage is counted in lumps; what was idle once stays so.
struct KnownIdle {
  std::atomic<int64_t> ticks{0};
  USK_FIELDS(ticks)
};
KnownIdle& known_idle() {
  static KnownIdle known;
  return known;
}
USK_SINGLETON(known_idle, "uptime-idle")

Result<std::string> uptime_text(const Subject& s) {
  const int64_t up = s.kernel().time.now(CLOCK_BOOTTIME) / kNsPerTick;
  const Load l = load_of(s.kernel());
  const int64_t busy = (l.user_ns + l.system_ns) / kNsPerTick;
  std::atomic<int64_t>& known = known_idle().ticks;
  int64_t idle = up * cpu_count() - busy, last = known;
  while (idle > last && !known.compare_exchange_weak(last, idle)) continue;
  idle = std::max(idle, last);
  return fmt::format("{}.{:02} {}.{:02}\n", up / 100, up % 100, idle / 100, idle % 100);
}

Result<std::string> loadavg_text(const Subject& s) {
  const Load l = load_of(s.kernel());
  s.kernel().count_active();
  const auto& load = s.kernel().load.values();
  // Linux: the last id of the reader's namespace, whatever the mount shows.
  const Task* reader = current_task();
  const int last_pid = reader ? reader->pid_ns().last_pid() : s.ns().last_pid();
  return fmt::format("{:.2f} {:.2f} {:.2f} {}/{} {}\n", load[0], load[1], load[2],
                     std::max(l.running, 1), l.threads, last_pid);
}

// --- Memory.

struct Memory {
  uint64_t total_kb = 0, free_kb = 0;
};

Memory memory_of(Kernel& k) {
  const uint64_t total = std::min(host::physical_memory(), k.options().memory_limit);
  const uint64_t used = std::min(k.resident_bytes(), total);
  return {total >> 10, (total - used) >> 10};
}

Result<std::string> meminfo_text(const Subject& s) {
  const Memory m = memory_of(s.kernel());
  const uint64_t used = m.total_kb - m.free_kb;
  const std::pair<const char*, uint64_t> lines[] = {{"MemTotal:", m.total_kb},
                                                    {"MemFree:", m.free_kb},
                                                    {"MemAvailable:", m.free_kb},
                                                    {"Buffers:", 0},
                                                    {"Cached:", 0},
                                                    {"SwapCached:", 0},
                                                    {"Active:", used},
                                                    {"Inactive:", 0},
                                                    {"Active(anon):", used},
                                                    {"Inactive(anon):", 0},
                                                    {"Active(file):", 0},
                                                    {"Inactive(file):", 0},
                                                    {"Unevictable:", 0},
                                                    {"Mlocked:", 0},
                                                    {"SwapTotal:", 0},
                                                    {"SwapFree:", 0},
                                                    {"Dirty:", 0},
                                                    {"Writeback:", 0},
                                                    {"AnonPages:", used},
                                                    {"Mapped:", 0},
                                                    {"Shmem:", 0},
                                                    {"KReclaimable:", 0},
                                                    {"Slab:", 0},
                                                    {"SReclaimable:", 0},
                                                    {"SUnreclaim:", 0},
                                                    {"KernelStack:", 0},
                                                    {"PageTables:", 0},
                                                    {"NFS_Unstable:", 0},
                                                    {"Bounce:", 0},
                                                    {"WritebackTmp:", 0},
                                                    {"CommitLimit:", m.total_kb},
                                                    {"Committed_AS:", used},
                                                    {"VmallocTotal:", 34359738367},
                                                    {"VmallocUsed:", 0},
                                                    {"VmallocChunk:", 0},
                                                    {"Percpu:", 0},
                                                    {"AnonHugePages:", 0}};
  std::string out;
  for (auto& [name, kb] : lines) out += fmt::format("{:<15} {:8} kB\n", name, kb);
  return out +
         "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\n"
         "HugePages_Surp:        0\nHugepagesize:       2048 kB\n";
}

Result<std::string> vmstat_text(const Subject& s) {
  const Memory m = memory_of(s.kernel());
  return fmt::format(
      "nr_free_pages {}\nnr_anon_pages {}\npgpgin 0\npgpgout 0\npswpin 0\n"
      "pswpout 0\npgfault {}\npgmajfault 0\noom_kill 0\n",
      m.free_kb / 4, (m.total_kb - m.free_kb) / 4, s.kernel().counters.faults.load());
}

// --- What never changes.

Result<std::string> version_text(const Subject&) {
  return fmt::format("Linux version {} (usk@usk) (g++) {}\n", kRelease, kVersion);
}
Result<std::string> cpuinfo_text(const Subject&) { return cpu_info(); }
Result<std::string> boot_line_text(const Subject&) { return "usk\n"; }
Result<std::string> file_systems_text(const Subject&) {
  return "nodev\tproc\nnodev\tsysfs\nnodev\ttmpfs\nnodev\tdevpts\nnodev\tramfs\nnodev\tmqueue\nnode"
         "v\toverlay\n";
}
Result<std::string> partitions_text(const Subject&) { return "major minor  #blocks  name\n\n"; }
Result<std::string> devices_text(const Subject&) {
  return "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n"
         "\nBlock devices:\n";
}
Result<std::string> swaps_text(const Subject&) {
  return "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
}
Result<std::string> interrupts_text(const Subject&) {
  std::string out = "    ";
  for (int i = 0; i < cpu_count(); i++) out += fmt::format("       CPU{:<4}", i);
  return out + "\n";
}
// proc_locks(5)
std::string lock_line(const Subject& s, size_t number, Inode& inode, const FileLocks::Shown& shown,
                      int pid) {
  const RecordLock& l = shown.lock;
  const Dev dev = inode.fs().dev();
  const char* kind = shown.is_flock                            ? "FLOCK "
                     : l.owner.kind == LockOwner::Kind::kPosix ? "POSIX "
                                                               : "OFDLCK";
  return fmt::format("{}: {} ADVISORY  {} {} {:02x}:{:02x}:{} {} {}\n", number, kind,
                     l.type == F_WRLCK ? "WRITE" : "READ", pid, major(dev), minor(dev), inode.ino(),
                     l.start, l.end == INT64_MAX ? "EOF" : std::to_string(l.end));
}

// So many are shown at most: more takes somebody who means to keep the kernel busy.
constexpr size_t kMostLocksShown = 65536;

Result<std::string> locks_text(const Subject& s) {
  std::string out;
  size_t number = 0;
  for (const Ref<Inode>& inode : inodes_with_locks()) {
    for (const FileLocks::Shown& shown : inode->locks().list()) {
      if (number == kMostLocksShown) return out;
      int pid = shown.lock.owner.pid;
      if (pid > 0) {
        // Linux: locks of processes that the reader cannot name are left out.
        Lock lock(task_mutex);
        const Ref<Pid> holder = s.kernel().root_pid_ns->find(pid);
        pid = holder ? s.nr(holder) : 0;
        if (pid == 0) continue;
      }
      out += lock_line(s, ++number, *inode, shown, pid);
    }
  }
  return out;
}

Result<std::string> empty_text(const Subject&) { return std::string(); }

Ref<Inode> make_sysvipc_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, sysvipc_entries());
}

constexpr Entry kSystem[] = {
    {.name = "cmdline", .mode = kFile, .text = boot_line_text},
    {.name = "cpuinfo", .mode = kFile, .text = cpuinfo_text},
    {.name = "devices", .mode = kFile, .text = devices_text},
    {.name = "diskstats", .mode = kFile, .text = empty_text},
    {.name = "filesystems", .mode = kFile, .text = file_systems_text},
    {.name = "interrupts", .mode = kFile, .text = interrupts_text},
    {.name = "loadavg", .mode = kFile, .text = loadavg_text},
    {.name = "locks", .mode = kFile, .text = locks_text},
    {.name = "meminfo", .mode = kFile, .text = meminfo_text},
    {.name = "modules", .mode = kFile, .text = empty_text},
    {.name = "mounts", .mode = kLink, .text = mounts_link},
    {.name = "net", .mode = kLink, .text = net_link},
    {.name = "partitions", .mode = kFile, .text = partitions_text},
    {.name = "self", .mode = kLink, .text = self_text},
    {.name = "stat", .mode = kFile, .text = stat_file},
    {.name = "swaps", .mode = kFile, .text = swaps_text},
    {.name = "sys", .mode = kDir, .make = make_sys_dir},
    {.name = "sysvipc", .mode = kDir, .make = make_sysvipc_dir},
    {.name = "thread-self", .mode = kLink, .text = thread_self_text},
    {.name = "uptime", .mode = kFile, .text = uptime_text},
    {.name = "usk", .mode = kDir, .make = make_usk_dir},
    {.name = "version", .mode = kFile, .text = version_text},
    {.name = "vmstat", .mode = kFile, .text = vmstat_text},
};

}  // namespace

static const NamedTable kSystemTable("system", kSystem);

std::span<const Entry> system_entries() { return kSystem; }

}  // namespace usk::proc
