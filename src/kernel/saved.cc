#include "kernel/saved.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/id_counter.h"
#include "kernel/futex/futex.h"
#include "kernel/task/exec.h"

namespace usk {
namespace {

struct SavedMemory {
  Ref<AddressSpace> mm;
  std::vector<PageRun> runs;
  USK_FIELDS(mm, runs)
};

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

OrFailure<std::unique_ptr<platform::ThreadState>> state_of(platform::Thread& cpu) {
  auto state = std::make_unique<platform::ThreadState>();
  cpu.flush_memory();
  auto fpu = cpu.fpu_state();
  if (!fpu) return fail(reason("the state of a processor", fpu.error()));
  state->regs = cpu.regs();
  state->fpu = std::move(*fpu);
  state->cpu_time_ns = cpu.cpu_time_ns();
  return state;
}

OrFailure<void> take_processors(const std::vector<Ref<Task>>& tasks) {
  for (const Ref<Task>& t : tasks) {
    if (t->cpu) t->saved_cpu = TRY(state_of(*t->cpu));
    ExecImage* image = t->exec_image.get();
    if (image && image->cpu) image->saved_cpu = TRY(state_of(*image->cpu));
  }
  return {};
}

// They belong to the state that is being saved, whether that succeeds or not: a task that is saved
// again later may have ended meanwhile.
struct DropProcessors {
  const std::vector<Ref<Task>>& tasks;
  ~DropProcessors() {
    for (const Ref<Task>& t : tasks) {
      t->saved_cpu.reset();
      if (t->exec_image) t->exec_image->saved_cpu.reset();
    }
  }
};

// A thread of the space that is stopped.
platform::Thread* thread_of(const std::vector<Ref<Task>>& tasks, const Ref<AddressSpace>& mm) {
  for (const Ref<Task>& t : tasks) {
    if (t->mm == mm && t->cpu) return t->cpu.get();
    if (t->exec_image && t->exec_image->mm == mm) return t->exec_image->cpu.get();
  }
  return nullptr;
}

// The threads of the spaces that were made for a restored kernel.
class Spaces {
 public:
  Spaces(Kernel& kernel, const SavedPages& pages) : kernel_(kernel), pages_(pages) {}

  OrFailure<void> make(const SavedMemory& saved) {
    auto fresh = kernel_.platform().new_space();
    if (!fresh) return fail(reason("a space for a process", fresh.error()));
    TRY(saved.mm->attach(fresh->space, *fresh->thread, kernel_.time.page().memory()));
    for (const PageRun& run : saved.runs) {
      TRY(saved.mm->load_pages(*fresh->thread, pages_.file, pages_.size, run));
    }
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
    if (auto set = cpu->set_fpu_state(state.fpu); !set) {
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
  const auto& d = t.debug;
  if (auto set = cpu.set_debug_registers({d[0], d[1], d[2], d[3]}, d[7]); !set) {
    return fail(reason("hardware breakpoints", set.error()));
  }
  if (!t.rseq.addr) return {};
  auto done = t.mm->space().register_rseq(cpu, t.rseq.addr, t.rseq.length, 0, t.rseq.signature);
  if (!done) return fail(reason("restartable sequences", done.error()));
  return {};
}

OrFailure<void> make_thread(Task& t, Spaces& spaces) {
  if (ExecImage* image = t.exec_image.get()) {
    if (!image->saved_cpu) return fail("a program without a thread");
    image->cpu = TRY(spaces.take(image->mm, *image->saved_cpu));
    image->saved_cpu.reset();
  }
  if (!t.saved_cpu) return {};
  if (!t.mm || !t.fds || !t.fs) return fail("a task without its parts");
  t.cpu = TRY(spaces.take(t.mm, *t.saved_cpu));
  t.usage.user_ns += int64_t(t.saved_cpu->cpu_time_ns);
  t.saved_cpu.reset();
  return set_up(t);
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

}  // namespace

void pause_tasks(Kernel& kernel) {
  for (const Ref<Task>& t : kernel.all_tasks()) {
    if (t->where == Task::Where::kInGuest) kernel.scheduler.kick(*t);
  }
  kernel.wait_for_guests();
}

OrFailure<std::vector<MemorySnapshot>> save_kernel(Kernel& kernel, state::Writer& to,
                                                   bool runs_on) {
  const std::vector<Ref<Task>> tasks = tasks_in_order(kernel);
  std::vector<SavedMemory> memory;
  std::vector<MemorySnapshot> snapshots;
  uint64_t at = 0;
  const DropProcessors drop{tasks};
  TRY(take_processors(tasks));
  for (const Ref<AddressSpace>& mm : spaces_of(tasks)) {
    MemorySnapshot snapshot = TRY(MemorySnapshot::take(mm, at));
    at = snapshot.end();
    memory.push_back({mm, snapshot.runs()});
    platform::Thread* by = runs_on ? thread_of(tasks, mm) : nullptr;
    if (by) TRY(snapshot.detach(kernel.platform(), *by));
    snapshots.push_back(std::move(snapshot));
  }
  futexes().number();
  to.root("tasks", tasks);
  to.root("memory", memory);
  to.root("kernel", kernel);
  to.root("numbers given", IdCounter::all());
  return snapshots;
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
  TRY(from.finish());
  Spaces spaces(kernel, pages);
  for (const SavedMemory& saved : memory) {
    if (!saved.mm) return fail("memory that belongs to nobody");
    TRY(spaces.make(saved));
  }
  for (const Ref<Task>& t : tasks) TRY(make_thread(*t, spaces));
  for (const Ref<Task>& t : tasks) start(kernel, *t);
  return {};
}

}  // namespace usk
