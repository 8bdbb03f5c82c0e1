#include "kernel/saved.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/id_counter.h"
#include "base/log.h"
#include "kernel/futex/futex.h"
#include "kernel/run/watched_calls.h"
#include "kernel/signal/send.h"
#include "kernel/task/exec.h"
#include "kernel/task/exit.h"

namespace usk {
namespace {

struct SavedMemory {
  Ref<AddressSpace> mm;
  std::vector<PageRun> runs;
  USK_FIELDS(mm, runs)
};

// A root: spaces whose private futexes are the kernel's for good.
constexpr const char* kFutexesHere = "futexes here";

std::string reason(const char* what, Errno e) {
  return fmt::format("{}: {}", what, strerror(int(e)));
}

// In order of birth, which is the same each time.
std::vector<Ref<Task>> tasks_in_order(Kernel& kernel) {
  std::vector<Ref<Task>> tasks = kernel.all_tasks();
  std::ranges::sort(tasks, {}, [](const Ref<Task>& t) { return t->pid->serial(); });
  return tasks;
}

void add_once(std::vector<Ref<AddressSpace>>& all, const Ref<AddressSpace>& mm) {
  if (mm && std::ranges::find(all, mm) == all.end()) all.push_back(mm);
}

std::vector<Ref<AddressSpace>> spaces_of(const std::vector<Ref<Task>>& tasks) {
  std::vector<Ref<AddressSpace>> all;
  for (const Ref<Task>& t : tasks) {
    add_once(all, t->mm);
    if (t->exec_image) add_once(all, t->exec_image->mm);
  }
  return all;
}

using Spaces = std::set<const AddressSpace*>;

// Without its floating point state, and with the end of its process ahead, as at its own next step:
// where the host has ended the thread. `lost` gets the memory that went with it.
OrFailure<std::unique_ptr<platform::ThreadState>> state_of(Task& t, platform::Thread& cpu,
                                                           const AddressSpace& mm, Spaces& lost) {
  auto state = std::make_unique<platform::ThreadState>();
  cpu.flush_memory();
  auto fpu = cpu.fpu_state();
  state->regs = cpu.regs();
  if (failed_with(fpu, ESRCH)) {
    LOG_INFO("a stub process was killed; ending process {}", t.tgid());
    lost.insert(&mm);
    Lock lock(task_mutex);
    begin_group_exit(*t.group, SIGKILL);
    return state;
  }
  if (!fpu) return fail(reason("the state of a processor", fpu.error()));
  state->fpu = std::move(*fpu);
  if (cpu.take_frame_fault() && !t.trap) {
    t.trap = {.kind = platform::Trap::Kind::kFault, .signal = SIGSEGV, .code = SI_KERNEL};
    t.trap->number = 13;  // #GP
  }
  return state;
}

OrFailure<Spaces> take_processors(const std::vector<Ref<Task>>& tasks) {
  Spaces lost;
  for (const Ref<Task>& t : tasks) {
    if (t->cpu) {
      t->usage = thread_usage(*t);
      if (t->debug[7]) t->debug[6] = t->cpu->debug_status();  // Else the thread's own.
      t->saved_cpu = TRY(state_of(*t, *t->cpu, *t->mm, lost));
      // Whoever restores it has that memory.
      if (t->trap && t->mm->is_late(*t->trap, t->saved_cpu->regs.rip)) {
        t->trap = platform::Trap{.kind = platform::Trap::Kind::kInterrupted};
      }
    }
    ExecImage* image = t->exec_image.get();
    if (image && image->cpu) image->saved_cpu = TRY(state_of(*t, *image->cpu, *image->mm, lost));
  }
  return lost;
}

// They belong to the state that is being saved, whether that succeeds or not: a task that is saved
// again later may have ended meanwhile. So does what threads have used so far, as part of the
// tasks' usage; and whether a task is about to look again at what it waits for, as all restored
// ones do, is no part of the state.
class DropProcessors {
 public:
  explicit DropProcessors(const std::vector<Ref<Task>>& tasks) : tasks_(tasks) {
    for (const Ref<Task>& t : tasks) {
      own_.push_back({t->usage, t->where});
      if (t->where != Task::Where::kGone) t->where = Task::Where::kParked;
    }
  }
  ~DropProcessors() {
    for (size_t i = 0; i < tasks_.size(); i++) {
      Task& t = *tasks_[i];
      t.usage = own_[i].usage;
      t.where = own_[i].where;
      t.saved_cpu.reset();
      if (t.exec_image) t.exec_image->saved_cpu.reset();
    }
  }

 private:
  const std::vector<Ref<Task>>& tasks_;
  struct Own {
    Usage usage;
    Task::Where where;
  };
  std::vector<Own> own_;
};

// The host tells threads there on which processors they are, at moments of its own: in cpu_id_start
// and cpu_id, node_id and mm_cid of struct rseq.
void leave_out_rseq(const std::vector<Ref<Task>>& tasks, const Ref<AddressSpace>& mm,
                    MemorySnapshot& snapshot) {
  constexpr uint64_t kProcessor = 0, kNode = 20;
  for (const Ref<Task>& t : tasks) {
    if (t->mm != mm || !t->cpu || !t->rseq.addr) continue;
    snapshot.leave_out(t->rseq.addr + kProcessor, 2 * sizeof(uint32_t));
    if (t->rseq.length > kNode) snapshot.leave_out(t->rseq.addr + kNode, 2 * sizeof(uint32_t));
  }
}

// Its stack, its thread-local memory, and what the host writes to when it runs.
void need_first_what_threads_use(const std::vector<Ref<Task>>& tasks, const Ref<AddressSpace>& mm,
                                 MemorySnapshot& snapshot) {
  for (const Ref<Task>& t : tasks) {
    if (t->mm != mm || !t->saved_cpu) continue;
    const Regs& r = t->saved_cpu->regs;
    const uint64_t all[] = {t->rseq.addr, r.rsp, r.fs_base};
    for (const uint64_t addr : all) snapshot.is_needed_first(addr);
  }
}

// A thread of the space that is stopped.
platform::Thread* thread_of(const std::vector<Ref<Task>>& tasks, const Ref<AddressSpace>& mm) {
  for (const Ref<Task>& t : tasks) {
    if (t->mm == mm && t->cpu) return t->cpu.get();
    if (t->exec_image && t->exec_image->mm == mm) return t->exec_image->cpu.get();
  }
  return nullptr;
}

// The threads of the spaces that were made for a restored kernel.
class Hosts {
 public:
  Hosts(Kernel& kernel, const SavedPages& pages) : kernel_(kernel), pages_(pages) {}

  OrFailure<void> make(const SavedMemory& saved) {
    auto fresh = kernel_.platform().new_space();
    if (!fresh) return fail(reason("a space for a process", fresh.error()));
    TRY(saved.mm->attach(fresh->space, *fresh->thread, kernel_.time.page().memory()));
    TRY(saved.mm->load_pages(*fresh->thread, pages_, saved.runs));
    fresh->thread->flush_memory();  // Files of two processes are not under way at once.
    first_[saved.mm.get()] = {std::move(fresh->thread), nullptr};
    return {};
  }

  // The first thread of a space came with it.
  OrFailure<std::unique_ptr<platform::Thread>> take(const Ref<AddressSpace>& mm,
                                                    const platform::ThreadState& state) {
    auto it = first_.find(mm.get());
    if (it == first_.end()) return fail("a thread without memory");
    std::unique_ptr<platform::Thread> cpu = std::move(it->second.unused);
    if (!cpu) {
      auto made = kernel_.platform().new_thread(*it->second.used);
      if (!made) return fail(reason("a thread", made.error()));
      cpu = std::move(*made);
    } else {
      it->second.used = cpu.get();
    }
    // There is none of a thread that was lost.
    if (auto set = state.fpu.empty() ? Result<void>() : cpu->begin_with_fpu_state(state.fpu);
        !set) {
      return fail(reason("the state of a processor", set.error()));
    }
    cpu->regs() = state.regs;
    return cpu;
  }

 private:
  struct Threads {
    std::unique_ptr<platform::Thread> unused;
    platform::Thread* used;
  };
  Kernel& kernel_;
  const SavedPages& pages_;
  std::map<AddressSpace*, Threads> first_;
};

// What the host is to know of a thread, beside its registers.
OrFailure<void> set_up(Task& t) {
  platform::Thread& cpu = *t.cpu;
  cpu.owner = &t;
  if (CPU_COUNT(&t.affinity) < CPU_SETSIZE) (void)cpu.set_affinity(t.affinity);
  if (t.tsc_off) {
    if (auto set = cpu.allow_tsc(false); !set) return fail(reason("PR_SET_TSC", set.error()));
  }
  const auto& d = t.debug;
  if (auto set = cpu.set_debug_registers({d[0], d[1], d[2], d[3]}, d[7]); !set) {
    return fail(reason("hardware breakpoints", set.error()));
  }
  cpu.set_debug_status(d[6]);
  if (!t.rseq.addr) return {};
  t.mm->bring(cpu, t.rseq.addr, t.rseq.length);  // The host writes there.
  auto done = t.mm->space().register_rseq(cpu, t.rseq.addr, t.rseq.length, 0, t.rseq.signature,
                                          platform::Space::When::kBeforeItRuns);
  if (!done) return fail(reason("restartable sequences", done.error()));
  return {};
}

OrFailure<void> make_thread(Task& t, Hosts& hosts) {
  if (ExecImage* image = t.exec_image.get()) {
    if (!image->saved_cpu) return fail("a program without a thread");
    image->cpu = TRY(hosts.take(image->mm, *image->saved_cpu));
    image->saved_cpu.reset();
  }
  if (!t.saved_cpu) return {};
  if (!t.mm || !t.fds || !t.fs) return fail("a task without its parts");
  t.cpu = TRY(hosts.take(t.mm, *t.saved_cpu));
  t.usage.user_ns += int64_t(t.saved_cpu->cpu_time_ns);  // In older images.
  t.saved_cpu.reset();
  TRY(set_up(t));
  // What that took is the kernel's time.
  if (!t.kernel.is_paused()) t.usage.user_ns -= int64_t(t.cpu->cpu_time_ns());
  return {};
}

// Each space has one place where its threads wait with private futexes: the kernel, where one waits
// there already or is about to meet those that wait, or where the platform makes such calls.
void settle_futexes(const Spaces& here, const std::vector<Ref<Task>>& tasks) {
  for (const Ref<Task>& t : tasks) {
    if (!t->cpu || !here.contains(t->mm.get())) continue;
    t->mm->space().end_own_futexes(platform::Space::Ended::kForGood);
  }
  for (const Ref<Task>& t : tasks) {
    if (!t->cpu || !t->futex || !t->futex->is_private()) continue;
    t->mm->space().end_own_futexes(platform::Space::Ended::kForNow);
  }
  for (const Ref<Task>& t : tasks) {
    if (t->cpu) share_futexes(*t);
  }
}

// Who waited for a futex in the guest is to be there again before others may wake it.
bool waits_in_guest(const Task& t) {
  return t.trap && (t.trap->begun || t.trap->kind == platform::Trap::Kind::kWaited);
}

// A task that waited looks again at what it waits for.
void start(Kernel& kernel, Task& t) EXCLUDES(task_mutex) {
  t.may_be_stopped = true;
  const bool gone = t.where == Task::Where::kGone;
  {
    Lock lock(task_mutex);
    kernel.adopt(Ref<Task>::share(&t));
  }
  if (!gone) kernel.scheduler.add(t);
}

// Whether tasks (but for those that sleep there, unless `all`) are in the guest: each is to come
// in.
bool kick_guests(Kernel& kernel, bool all, std::set<Task*>& kicked) {
  bool any = false;
  for (const Ref<Task>& t : kernel.all_tasks()) {
    if (t->where != Task::Where::kInGuest || (!all && t->cpu->sleeps_in())) continue;
    if (kicked.insert(t.get()).second) kernel.scheduler.kick(*t);
    any = true;
  }
  return any;
}

}  // namespace

// Who is awake may wake those that sleep there, and must not miss one that has come in already.
void pause_tasks(Kernel& kernel) {
  std::set<Task*> kicked;
  for (bool all : {false, true}) {
    while (kick_guests(kernel, all, kicked)) kernel.wait_for_guest();
  }
}

OrFailure<std::vector<MemorySnapshot>> save_kernel(Kernel& kernel, state::Writer& to,
                                                   bool runs_on) {
  const std::vector<Ref<Task>> tasks = tasks_in_order(kernel);
  std::vector<MemorySnapshot> snapshots;
  const DropProcessors drop(tasks);
  const Spaces lost = TRY(take_processors(tasks));
  // Who has seen to that is to find it so: else it would begin anew each time.
  std::vector<Ref<AddressSpace>> futexes_here;
  for (const Ref<AddressSpace>& mm : spaces_of(tasks)) {
    MemorySnapshot& snapshot = snapshots.emplace_back(mm);
    if (lost.contains(mm.get())) {
      snapshot.forget();
      continue;
    }
    leave_out_rseq(tasks, mm, snapshot);
    need_first_what_threads_use(tasks, mm, snapshot);
    if (mm->space().ended_own_futexes_for_good()) futexes_here.push_back(mm);
    platform::Thread* by = runs_on ? thread_of(tasks, mm) : nullptr;
    if (by) TRY(snapshot.detach(kernel.platform(), *by));
  }
  futexes().number();
  to.root("tasks", tasks);
  to.root("kernel", kernel);
  to.root(kFutexesHere, futexes_here);
  to.root("numbers given", IdCounter::all());
  return snapshots;
}

OrFailure<void> save_memory(std::span<MemorySnapshot> snapshots, state::Writer& to) {
  std::vector<SavedMemory> memory;
  uint64_t at = 0;
  for (MemorySnapshot& s : snapshots) {
    TRY(s.find_pages(at));
    at = s.end();
    memory.push_back({s.mm(), s.runs()});
  }
  to.root("memory", memory);
  for (MemorySnapshot& s : snapshots) s.let_go();
  return {};
}

void prepare_to_load(Kernel& kernel, state::Loader& from) { from.services().add(&kernel); }

OrFailure<void> take_loaded_tasks(Kernel& kernel, state::Loader& from, const SavedPages& pages) {
  std::vector<Ref<Task>> tasks;
  std::vector<SavedMemory> memory;
  TRY(from.root("tasks", tasks));
  TRY(from.root("memory", memory));
  std::map<std::string, uint64_t> given;
  TRY(from.root("numbers given", given));
  IdCounter::raise_all(given);
  std::vector<Ref<AddressSpace>> futexes_here;
  if (from.has_root(kFutexesHere)) TRY(from.root(kFutexesHere, futexes_here));
  const Timekeeper::Moment now = kernel.time.moment();
  TRY(from.finish());
  Hosts hosts(kernel, pages);
  kernel.platform().begin_burst();
  for (const SavedMemory& saved : memory) {
    if (!saved.mm) return fail("memory that belongs to nobody");
    TRY(hosts.make(saved));
  }
  for (const Ref<Task>& t : tasks) TRY(make_thread(*t, hosts));
  Spaces here;
  for (const Ref<AddressSpace>& mm : futexes_here) here.insert(mm.get());
  settle_futexes(here, tasks);
  kernel.time.begin_at(now);  // Nobody inside has seen how long that took.
  for (bool waiting : {true, false}) {
    for (const Ref<Task>& t : tasks) {
      if (waits_in_guest(*t) == waiting) start(kernel, *t);
    }
  }
  return {};
}

}  // namespace usk
