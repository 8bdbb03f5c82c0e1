// New spaces and threads: copies of what is there.
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>

#include "host/poll.h"
#include "host/process.h"
#include "platform/trap/trap_platform.h"

namespace usk::platform {

using namespace host;

namespace {

constexpr uint64_t kForkFlags = CLONE_PARENT | CLONE_FILES | SIGCHLD;
constexpr uint64_t kThreadFlags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                                  CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

}  // namespace

Result<TrapPlatform::Copy> TrapPlatform::prepare_copy(TrapThread& by) {
  // A fork has the code of its parent at the same places; a fresh space will have its own.
  const bool fresh = &by == zygote_.get();
  auto patches = fresh ? make_ref<Patches>(thunks_) : by.trap_space()->patches();
  Copy c{.space = make_ref<TrapSpace>(*this, std::move(patches)), .thread = {}, .fork = {}};
  TRY(c.space->take_first_slot(by.slot()));
  c.thread = std::make_unique<TrapThread>(*this, c.space, by.slot(), c.space->index_of(by.slot()));
  const uint32_t place = by.slot() / USK_AREAS_PER_BLOCK;
  const uint64_t at = USK_AREAS + uint64_t(place) * USK_BLOCK_SIZE;
  const uint64_t offset = AreaPool::file_offset(c.space->blocks[place].number);
  c.thread->expect(
      {SYS_mmap, {at, USK_BLOCK_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, 0, offset}});
  c.thread->expect({SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}});  // Is not inherited.
  c.thread->inherit_tsc(by);
  c.thread->set_rseq(by.rseq());
  c.fork = {trap::kCmdFork, {kForkFlags, at, offset}};
  expected_children_.push_back(c.thread.get());
  if (!fresh) c.space->doubt_areas();
  fresh ? count.spaces_new++ : count.spaces_forked++;
  return c;
}

// The host gives a new thread the processors of its maker.
void TrapPlatform::inherit_place(TrapThread& by, TrapThread& t) {
  t.inherit_affinity(by);
  if (!by.is_kept_off()) return;
  t.set_kept_off(true);
  kept_off_.push_back(&t);
}

Result<NewSpace> TrapPlatform::finish_copy(TrapThread& by, Copy c, Result<int64_t> pid) {
  if (pid && !c.thread->tid()) c.thread->claim(pid_t(*pid));
  if (!pid || !await(*c.thread)) {
    if (pid && !c.thread->tid()) by.trap_space()->kill("it says that it has forked, and has not");
    strays_.suspect(monotonic_now());
    return Err(pid ? EAGAIN : int(pid.error()));
  }
  // A stray stub may have guessed what the child asks for, to become another program's space.
  if (c.thread->tid() != *pid) {
    c.space->kill("it is not the child that was made");
    strays_.suspect(monotonic_now());
    return Err(EAGAIN);
  }
  inherit_place(by, *c.thread);
  return NewSpace{c.space, std::move(c.thread)};
}

Result<NewSpace> TrapPlatform::copy_space(TrapThread& by) {
  Copy c = TRY(prepare_copy(by));
  // What others of the space were promised is to be in the copy.
  TRY(by.trap_space()->settle(&by));
  TRY(by.trap_space()->settle_copies(0, kGuestEnd, &by));
  TRY(by.trap_space()->keep_areas(by));
  auto pid = by.call(c.fork);
  if (pid) by.trap_space()->areas_are_kept();
  return finish_copy(by, std::move(c), pid);
}

void TrapPlatform::prepare_spare() {
  if (zygote_->state() != TrapThread::State::kStopped) return;
  auto c = prepare_copy(*zygote_);
  if (!c) return;  // One who needs it will be told.
  zygote_->begin(c->fork);
  spare_ = std::move(*c);
}

Result<NewSpace> TrapPlatform::take_spare() {
  Copy c = std::move(*spare_);
  spare_.reset();
  if (zygote_->state() == TrapThread::State::kRunning && !await(*zygote_)) return Err(EAGAIN);
  if (zygote_->state() == TrapThread::State::kLost) return Err(EAGAIN);
  const int64_t pid = zygote_->first_result();
  return finish_copy(*zygote_, std::move(c), pid > 0 ? Result<int64_t>(pid) : Err(EAGAIN));
}

Result<NewSpace> TrapPlatform::new_space() {
  Result<NewSpace> s = Err(EAGAIN);
  if (spare_) s = take_spare();
  if (!s && zygote_->state() != TrapThread::State::kLost) s = copy_space(*zygote_);
  if (!s && zygote_->state() == TrapThread::State::kLost) {  // Killed from outside: begin anew.
    if (!start_zygote()) return Err(EAGAIN);
    s = copy_space(*zygote_);
  }
  if (!s) return s;
  wants_spare_ = count.spaces_new > 1;
  Regs& r = s->thread->regs();
  r = Regs();
  r.cs = kUserCs, r.ss = kUserSs, r.eflags = kFlagsInitial;
  r.orig_rax = -1;
  return s;
}

Result<NewSpace> TrapPlatform::fork(Thread& by) {
  NewSpace s = TRY(copy_space(static_cast<TrapThread&>(by)));
  s.thread->regs() = by.regs();
  return s;
}

Result<std::unique_ptr<TrapThread>> TrapPlatform::take_idle_thread(TrapThread& parent) {
  const Ref<TrapSpace>& space = parent.trap_space();
  const auto idle = space->take_idle();
  if (!idle) return std::unique_ptr<TrapThread>();
  auto thread = std::make_unique<TrapThread>(*this, space, *idle);
  TRY(thread->copy_fpu(parent));
  TRY(thread->allow_tsc(parent.has_tsc()));
  if (!CPU_EQUAL(&idle->affinity, &parent.affinity())) {
    TRY(thread->set_affinity(parent.affinity()));
  }
  count.threads_reused++;
  return thread;
}

Result<std::unique_ptr<Thread>> TrapPlatform::new_thread(Thread& by) {
  auto& parent = static_cast<TrapThread&>(by);
  const Ref<TrapSpace>& space = parent.trap_space();
  TRY(space->settle(&parent));
  if (auto idle = TRY(take_idle_thread(parent))) {
    idle->regs() = by.regs();
    return idle;
  }
  TRY(space->count_threads());
  const uint32_t slot = TRY(space->take_slot(parent));
  auto thread = std::make_unique<TrapThread>(*this, space, slot, space->index_of(slot));
  thread->inherit_tsc(parent);
  const uint64_t area = thread->area_address();
  const auto tid =
      parent.call({trap::kCmdClone, {kThreadFlags, area, area + offsetof(trap::Area, alive)}});
  const pid_t claimed = thread->claimed_tid();
  if (!tid || (claimed && claimed != *tid) || !send_thread_signal(space->pid(), pid_t(*tid), 0)) {
    thread->lose();
    thread->area().alive = 0;
    space->release_slot(slot);
    space->doubt_thread();
    return Err(EAGAIN);
  }
  name_thread(*thread, pid_t(*tid));
  count.threads++;
  if (!await(*thread)) return Err(EAGAIN);
  inherit_place(parent, *thread);
  thread->regs() = by.regs();
  return thread;
}

}  // namespace usk::platform
