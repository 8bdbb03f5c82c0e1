#include "control/report.h"

#include <algorithm>

#include "kernel/task/exit.h"
#include "platform/counters.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

constexpr size_t kMaxCommand = 256;  // Per process; there may be many.

// Linux: the letters of ps(1); P: the sandbox is paused.
char state_letter(const ThreadGroup& g) REQUIRES(task_mutex) {
  if (g.zombie) return 'Z';
  if (g.stopped) return 'T';
  if (g.leader->kernel.is_paused()) return 'P';
  for (const Task* t : g.tasks) {
    if (!t->dead && t->kernel.scheduler.is_busy(*t)) return 'R';
  }
  return 'S';
}

struct Row {
  Json json;
  Ref<AddressSpace> mm;
};

Row row_of(ThreadGroup& g) REQUIRES(task_mutex) {
  Task& leader = *g.leader;
  const Usage usage = group_usage(g);
  Row row;
  row.json = {{"pid", g.pid->root_nr()},
              {"ppid", g.parent ? g.parent->pid->root_nr() : 0},
              {"uid", leader.creds->uid},
              {"threads", g.live},
              {"state", std::string(1, state_letter(g))},
              {"time_ns", usage.user_ns + usage.system_ns},
              {"command", "[" + leader.name() + "]"}};
  row.mm = leader.mm;
  return row;
}

// The arguments as the process has them in its memory: it may have changed them.
std::string command_line(AddressSpace& mm) {
  const auto& at = mm.layout;
  if (at.arg_end <= at.arg_start) return {};
  std::string text(std::min<uint64_t>(at.arg_end - at.arg_start, kMaxCommand), 0);
  auto n = mm.read(at.arg_start, std::as_writable_bytes(std::span(text)));
  text.resize(n ? *n : 0);
  while (!text.empty() && text.back() == 0) text.pop_back();
  std::ranges::replace(text, '\0', ' ');
  return text;
}

Json platform_report(platform::Platform& platform) {
  constexpr size_t kSites = 20;
  const platform::Counters counted = platform.counters();
  Json counters = Json::object(), sites = Json::array();
  for (const platform::CounterInfo& c : platform::kCounters) {
    counters[std::string(c.group)][std::string(c.name)] = counted.*c.value;
  }
  for (const platform::CallSite& s : platform.call_sites(kSites)) {
    const bool known = s.nr < kSyscalls.size() && !kSyscalls[s.nr].name.empty();
    sites.push_back({{"address", s.address},
                     {"file", s.file},
                     {"offset", s.offset},
                     {"nr", s.nr},
                     {"call", known ? std::string(kSyscalls[s.nr].name) : std::string()},
                     {"trapped", s.trapped},
                     {"patched", s.patched}});
  }
  return {{"name", platform.name()},
          {"counters", std::move(counters)},
          {"call_sites", std::move(sites)}};
}

}  // namespace

Json process_report(Kernel& kernel) {
  std::vector<Row> rows;
  {
    Lock lock(task_mutex);
    for (const Ref<Pid>& pid : kernel.root_pid_ns->all()) {
      ThreadGroup* g = pid->group;
      if (g && g != kernel.init.get() && g->leader) rows.push_back(row_of(*g));
    }
  }
  Json list = Json::array();
  for (Row& r : rows) {
    if (r.mm) {
      if (std::string text = command_line(*r.mm); !text.empty()) r.json["command"] = text;
    }
    list.push_back(std::move(r.json));
  }
  return {{"processes", std::move(list)}};
}

Json stats_report(Kernel& kernel) {
  const Kernel::Counters& c = kernel.counters;
  size_t tasks;
  {
    Lock lock(task_mutex);
    tasks = kernel.task_count() - 1;  // Without init.
  }
  MemoryWatch* watch = kernel.memory_watch();
  const uint64_t memory = watch ? watch->measure() : MemoryWatch(kernel, UINT64_MAX).measure();
  Json memory_limit, task_limit;
  const KernelOptions& o = kernel.options();
  if (o.memory_limit != UINT64_MAX) memory_limit = o.memory_limit;
  if (o.max_tasks != UINT64_MAX) task_limit = o.max_tasks - 1;
  return {{"syscalls", c.syscalls.load()},
          {"traps", c.traps.load()},
          {"faults", c.faults.load()},
          {"forks", c.forks.load()},
          {"signals", c.signals.load()},
          {"wakes", c.wakes.load()},
          {"tasks", tasks},
          {"task_limit", task_limit},
          {"memory_bytes", memory},
          {"memory_limit_bytes", memory_limit},
          {"oom_kills", watch ? watch->kills() : 0},
          {"paused", kernel.is_paused()},
          {"platform", platform_report(kernel.platform())},
          {"uptime_ns", kernel.time.monotonic() - kernel.boot_ns}};
}

}  // namespace usk
