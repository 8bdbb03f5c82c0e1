#include "kernel/memory/memory_watch.h"

#include <malloc.h>
#include <signal.h>

#include <algorithm>

#include "base/log.h"
#include "fs/mem/file_data.h"
#include "host/child_memory.h"
#include "host/cpu.h"
#include "host/machine.h"
#include "host/poll.h"
#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "mm/mapped.h"

namespace usk {
namespace {

constexpr uint64_t kPage = 4096;
constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSoonest = 1 * kMs, kLatest = 10'000 * kMs;
constexpr int64_t kShareOfTime = 20;
// A killed process has this long to go before another is killed.
constexpr int64_t kPatience = 1000 * kMs;
// What the kernel has for itself does not count.
constexpr uint64_t kOwnHeap = 32 << 20;

// How fast programs may touch fresh memory; the host clears some GiB in a second.
uint64_t bytes_per_ms() {
  static const int cpus = host::machine().cpus;
  return (uint64_t(4) << 20) * uint64_t(std::max(cpus, 1));
}

// Whoever guards the terminal is a child, too.
std::vector<pid_t> stubs() {
  std::vector<pid_t> all = host::children();
  std::erase_if(all, [](pid_t pid) { return host::command_name(pid) == "usk-terminal"; });
  return all;
}

// Whether all that is mapped, and so much more, would not come near the limit: then nobody need
// look. It costs nothing. The other half is for what the kernel keeps, which has bounds of its own
// (base/budget.h).
bool is_far(uint64_t limit, uint64_t bytes) {
  const uint64_t near = limit / 2, used = mapped_bytes() + MemQuota::all_pages() * kPage;
  return used <= near && bytes <= near - used;
}

// Contents of small files are on the heap, too, and counted as files.
uint64_t kernel_heap() {
  const uint64_t all = host::own_anonymous();
  const uint64_t others = kOwnHeap + FileData::heap_in_use();
  return all > others ? all - others : 0;
}

// What was found last, of all children of this process; by the host's clock.
struct Found {
  int64_t at = 0;
  uint64_t bytes = 0;
};
Found g_found;

// What can be in use by now: who asks for memory often need not make us look each time.
uint64_t at_most() {
  const int64_t since = host::monotonic_now() - g_found.at;
  if (g_found.at == 0 || since > kLatest) return UINT64_MAX;
  return g_found.bytes + uint64_t(since / kMs + 1) * bytes_per_ms();
}

}  // namespace

MemoryWatch::~MemoryWatch() {
  Lock lock(task_mutex);  // The last count of a pid gives its number back.
  victim_.reset();
}

uint64_t MemoryWatch::measure() {
  // What was freed may still be with the allocator.
  if (kernel_heap() > 0) malloc_trim(0);
  const uint64_t heap = kernel_heap();
  uint64_t quick = MemQuota::all_pages() * kPage + heap;
  exact_ = FileData::memory_in_use() + heap;
  for (const pid_t pid : stubs()) {
    quick += host::resident_of(pid);
    exact_ += host::anonymous_share_of(pid);
  }
  quick_then_ = quick;
  measured_ = true;
  return exact_;
}

uint64_t MemoryWatch::estimate() {
  uint64_t quick = MemQuota::all_pages() * kPage + kernel_heap();
  for (const pid_t pid : host::children()) quick += host::resident_of(pid);
  if (measured_) quick = exact_ + (quick > quick_then_ ? quick - quick_then_ : 0);
  g_found = {host::monotonic_now(), quick};
  return quick;
}

bool MemoryWatch::fits(uint64_t bytes) {
  if (bytes > limit_) return false;
  if (is_far(limit_, bytes)) return true;
  const uint64_t room = limit_ - bytes;
  return at_most() <= room || estimate() <= room || measure() <= room;
}

Deadline MemoryWatch::look(bool active) {
  active_ |= active;
  if (!active_ || is_far(limit_, 0)) return {};
  const int64_t begin = kernel_.time.monotonic();
  if (begin < due_) return {due_};
  active_ = false;
  const int64_t cpu_before = host::own_cpu_time_ns();
  uint64_t used = estimate();
  if (used > limit_) used = measure();
  if (used > limit_ && !has_killed_recently(begin)) kill_largest(used);
  // What a look takes of the processor: on a busy machine it may be interrupted for long, and is
  // due again all the sooner.
  const int64_t cost = host::own_cpu_time_ns() - cpu_before;
  const uint64_t left = limit_ - std::min(used, limit_);
  const int64_t wait = std::clamp(int64_t(left / bytes_per_ms()) * kMs, kSoonest, kLatest);
  due_ = kernel_.time.monotonic() + std::max(wait, cost * kShareOfTime);
  // Who is killed runs no more; whether that was enough is looked at all the same.
  active_ = used > limit_;
  return active || active_ ? Deadline{due_} : Deadline{};
}

bool MemoryWatch::has_killed_recently(int64_t now) {
  Lock lock(task_mutex);
  if (!victim_) return false;
  if (!victim_->zombie && !victim_->reaped && now < killed_at_ + kPatience) return true;
  victim_.reset();
  return false;
}

// Linux: mm/oom_kill.c's oom_badness(), with the limit for the memory. Unlike Linux: who may not be
// killed (oom_score_adj of -1000) is spared only while there is somebody else; root in the sandbox
// may set that, and the limit is not root's.
void MemoryWatch::kill_largest(uint64_t used) {
  struct Candidate {
    ThreadGroup* group = nullptr;
    int64_t points = 0;
    bool spared = false;
  } worst;
  Lock lock(task_mutex);
  for (const Ref<Pid>& pid : kernel_.root_pid_ns->all()) {
    ThreadGroup* g = pid->group;
    if (!g || g == kernel_.init.get() || g->zombie || g->exiting || !g->leader) continue;
    const auto owner = std::ranges::find_if(g->tasks, [](Task* t) { return t->mm != nullptr; });
    if (owner == g->tasks.end()) continue;
    const int64_t size = int64_t((*owner)->mm->space().resident_bytes() / kPage);
    const int64_t points = size + g->oom_score_adj * int64_t(limit_ / kPage / 1000);
    const bool spared = g->oom_score_adj == -1000;
    const bool worse = worst.spared != spared ? worst.spared : points > worst.points;
    if (!worst.group || worse) worst = {g, points, spared};
  }
  if (!worst.group) return;
  ThreadGroup& g = *worst.group;
  LOG_INFO("out of memory: {} of {} MiB are used; killing process {} ({})", used >> 20,
           limit_ >> 20, g.pid->root_nr(), g.leader->name());
  const AddressSpace* mm = nullptr;
  for (Task* t : g.tasks) mm = t->mm ? t->mm.get() : mm;
  // Linux: whoever shares the memory goes, too.
  for (const Ref<Pid>& pid : kernel_.root_pid_ns->all()) {
    ThreadGroup* other = pid->group;
    if (!other || other->zombie) continue;
    if (std::ranges::any_of(other->tasks, [&](Task* t) { return t->mm && t->mm.get() == mm; })) {
      begin_group_exit(*other, SIGKILL);
    }
  }
  victim_ = Ref<ThreadGroup>::share(&g);
  killed_at_ = kernel_.time.monotonic();
  kills_++;
}

}  // namespace usk
