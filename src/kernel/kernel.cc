#include "kernel/kernel.h"

#include "base/budget.h"
#include "base/heartbeat.h"
#include "base/log.h"
#include "fs/mem/quota.h"
#include "fs/vfs/file_count.h"
#include "host/cpu.h"
#include "host/memory_size.h"
#include "kernel/saved.h"
#include "kernel/signal/send.h"

namespace usk {
namespace {

// While tasks are paused their usage has all of it, and what their threads say does not count.
void count_processor_time(Task& t, int sign) {
  if (!t.cpu) return;
  t.usage.user_ns += sign * int64_t(t.cpu->cpu_time_ns());
  t.usage.voluntary += sign * int64_t(t.cpu->own_sleeps());
}

// Half of --memory is for contents of pipes, sockets and the like, which are refused before
// somebody has to be killed. What of the budget is not to be had is taken.
void limit_contents(uint64_t memory_limit) {
  constexpr uint64_t kLeast = 16 << 20;
  static size_t taken = 0;
  Budget& budget = kernel_memory();
  budget.release(std::exchange(taken, 0));
  const uint64_t most = std::clamp<uint64_t>(memory_limit / 2, kLeast, budget.limit());
  if (budget.charge(budget.limit() - most)) taken = budget.limit() - most;
}

// What programs may have of objects that cost them no memory of their own: as many as Linux gives
// on a machine with so much of it (files_maxfiles_init(), tmpfs(5)), and no less than programs
// expect.
void limit_objects(uint64_t memory) {
  set_most_files(std::clamp<uint64_t>(memory / 10240, 8192, 2097152));
  MemQuota::limit_all_inodes(std::max<uint64_t>(memory / 8192, 16384));
}

}  // namespace

Kernel::Kernel(std::unique_ptr<platform::Platform> platform, KernelOptions options)
    : root_user_ns(UserNamespace::make_initial()),
      root_pid_ns(make_ref<PidNamespace>(Ref<PidNamespace>(), root_user_ns)),
      platform_(std::move(platform)),
      options_(options) {
  boot_ns = time.monotonic();
  time.page().set_host_function(platform_->host_clock_gettime());
  set_timer_service(&time);
  limit_contents(options_.memory_limit);
  limit_objects(std::min(options_.memory_limit, host::physical_memory()));
  if (options_.memory_limit == UINT64_MAX) return;
  memory_watch_ = std::make_unique<MemoryWatch>(*this, options_.memory_limit);
  MemQuota::limit_all_pages(std::max<uint64_t>(options_.memory_limit / 4096, 1));
}

Kernel::~Kernel() { set_timer_service(nullptr); }

void Kernel::adopt(Ref<Task> t) {
  Task* key = t.get();
  tasks_.emplace(key, std::move(t));
}

void Kernel::drop(Task& t) {
  auto it = tasks_.find(&t);
  if (it == tasks_.end()) return;
  dropped_.push_back(std::move(it->second));
  tasks_.erase(it);
}

std::vector<Ref<Task>> Kernel::all_tasks() {
  Lock lock(task_mutex);
  std::vector<Ref<Task>> out;
  out.reserve(tasks_.size());
  for (auto& [key, t] : tasks_) out.push_back(t);
  return out;
}

// What they have asked for and not touched yet is not known here: that is the watch's business.
Result<void> Kernel::check_memory(Task& t, uint64_t bytes, uint32_t prot, uint32_t flags) {
  if (!memory_watch_ || !(prot & PROT_WRITE) || (flags & MAP_NORESERVE)) return {};
  if (!memory_watch_->fits(bytes)) return Err(ENOMEM);
  return {};
}

uint64_t Kernel::resident_bytes() {
  std::set<AddressSpace*> seen;
  uint64_t total = 0;
  Lock lock(task_mutex);
  for (auto& [key, t] : tasks_) {
    if (t->mm && seen.insert(t->mm.get()).second) total += t->mm->space().resident_bytes();
  }
  return total;
}

uint64_t Kernel::count_tasks_of(Uid uid) {
  uint64_t n = 0;
  for (auto& [key, t] : tasks_) n += !t->dead && t->creds->uid == uid;
  return n;
}

void Kernel::leader_exits(Ref<Terminal> terminal, SessionId session) {
  hang_ups_.push_back({std::move(terminal), session});
  has_hang_ups_.store(true, std::memory_order_release);
}

void Kernel::hang_up_terminals() {
  std::vector<HangUp> all;
  {
    Lock lock(task_mutex);
    has_hang_ups_.store(false, std::memory_order_relaxed);
    all = std::exchange(hang_ups_, {});
  }
  for (HangUp& h : all) h.terminal->leader_exited(h.session);
}

void Kernel::on_trap(platform::Thread& thread, const platform::Trap& trap) {
  auto* t = static_cast<Task*>(thread.owner);
  if (!t) return;
  add_to<uint64_t>(counters.traps, 1);
  if (trap.kind == platform::Trap::Kind::kLost) {
    // Whatever the task is in, it has no CPU any more.
    LOG_INFO("a stub process was killed from outside; ending process {}", t->tgid());
    Lock lock(task_mutex);
    begin_group_exit(*t->group, SIGKILL);
  }
  t->trap = trap;
  if (trap.begun) t->trap->deadline = time.from_host(trap.deadline);  // It may be saved.
  scheduler.trapped(*t);
}

bool Kernel::advance_some(uint64_t begin) {
  for (int i = 0; i < 64; i++) {
    Ref<Task> t = scheduler.next();
    if (!t) return i > 0;
    beat(t->pid->root_nr(), int32_t(t->frame.nr));
    advance(*t);
    // What the kernel does for a task is its system time. Processors may differ by a few ticks.
    const uint64_t end = host::ticks();
    if (end > begin) t->usage.system_ns += host::ticks_to_ns(end - begin);
    begin = end;
  }
  return true;
}

void Kernel::run(const std::function<bool()>& done) {
  for (uint64_t now = host::ticks();;) {
    // Timers and traps are looked at under load, too.
    const bool advanced = !paused_ && advance_some(now);
    beat(0, -1);
    if (has_hang_ups_.load(std::memory_order_acquire)) hang_up_terminals();
    if (!dropped_.empty()) std::exchange(dropped_, {}).clear();
    if (done()) return;
    Deadline next = time.expire();
    if (memory_watch_) {
      next.ns = std::min(next.ns, memory_watch_->look(advanced || scheduler.guest_runs()).ns);
    }
    if (background) do_background();
    if ((!paused_ && !scheduler.idle()) || background) next = {0};
    const bool readable = platform_->poll(
        poller ? poller->fd() : -1, next,
        [this](platform::Thread& th, const platform::Trap& tr) { on_trap(th, tr); });
    // Before wake-ups: what was active while the host was waited for.
    now = host::ticks();
    if (now >= load_look_at_) look_at_load(now);
    if (!readable || !poller) continue;
    poller->dispatch();
    now = host::ticks();  // That was no task's time.
  }
}

void Kernel::wait_for_guest() {
  platform_->poll(-1, {},
                  [this](platform::Thread& th, const platform::Trap& tr) { on_trap(th, tr); });
}

void Kernel::finish_background() {
  while (background) {
    beat(0, -1);
    do_background();
  }
}

// What is done may drop its own owner, who begins nothing new from within it.
void Kernel::do_background() {
  const auto work = background;
  if (!work()) background = nullptr;
}

void Kernel::pause() {
  if (paused_) return;
  paused_ = true;
  pause_tasks(*this);
  Lock lock(task_mutex);
  for (auto& [key, t] : tasks_) count_processor_time(*t, 1);
}

void Kernel::begin_paused(std::function<void()> begins) {
  paused_ = true;
  begins_ = std::move(begins);
  time.stand_still();
}

void Kernel::resume() {
  if (!paused_) return;
  {
    Lock lock(task_mutex);
    for (auto& [key, t] : tasks_) count_processor_time(*t, -1);
  }
  paused_ = false;
  time.go_on();
  if (const auto begins = std::exchange(begins_, nullptr)) begins();
}

// The clock is asked ten times a second at most: a round is often shorter than that takes.
void Kernel::look_at_load(uint64_t now) {
  load_look_at_ = now + 100'000 * host::ticks_per_us();
  if (time.stands_still()) return;
  if (load.due(time.monotonic())) count_active();
}

size_t Kernel::count_active() {
  size_t n = 0;
  {
    Lock lock(task_mutex);
    for (auto& [key, t] : tasks_) n += scheduler.is_busy(*t);
  }
  load.update(time.monotonic(), n);
  return n;
}

// Of what tasks were about to do, nothing is done: they may have been saved, and do it elsewhere.
void Kernel::kill_all() {
  resume();
  Lock lock(task_mutex);
  for (auto& [key, t] : tasks_) {
    if (t->group.get() == init.get()) continue;
    begin_group_exit(*t->group, SIGKILL);
    if (!t->cpu || t.get() == current_task()) continue;
    t->group->core_dump.reset();
    t->tracing.stop.reset();
    t->trap.reset();
    t->state = ExitMain{};
    scheduler.kick(*t);
  }
}

}  // namespace usk
