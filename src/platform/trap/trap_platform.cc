#include "platform/trap/trap_platform.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>

#include "base/log.h"
#include "host/cpu.h"
#include "host/machine.h"
#include "host/poll.h"
#include "host/process.h"
#include "host/shared_memory.h"
#include "platform/trap/counting.h"

namespace usk::platform {

using namespace host;

namespace {

// While it polls: how often notices, children and other descriptors are looked at.
constexpr int64_t kLookEveryNs = 50'000;
// The same of notices while no post comes.
constexpr int64_t kHearEveryNs = 20'000;
// How long it looks for what is about to come.
constexpr uint64_t kWaitUs = 50;
// After so long without a post it looks whether it is in the guest's way.
constexpr int64_t kBesideNs = 50'000;
// How often kicked threads are looked after while others keep us busy.
constexpr int64_t kLookAfterNs = 20'000'000;

}  // namespace

TrapPlatform::TrapPlatform(AreaPool areas)
    : areas_(std::move(areas)),
      thunks_(areas_),
      wakes_([this](uint32_t index) { host::wake_word(areas_.bell(index)); }),
      hand_off_(host::machine().cpus) {
  processors_ = host::own_affinity();
}

TrapPlatform::~TrapPlatform() {
  zygote_.reset();
  strays_.look(monotonic_now(), [this](pid_t pid) { return ending_.contains(pid); });
}

void TrapPlatform::add_thread(TrapThread& t) {
  by_index_[t.index()] = &t;
  gone_.erase(t.index());
}

void TrapPlatform::remove_thread(TrapThread& t) {
  by_index_.erase(t.index());
  if (auto it = by_tid_.find(t.tid()); it != by_tid_.end() && it->second == &t) by_tid_.erase(it);
  std::erase(posted_, &t);
  left_guest(t);
  wakes_.forget(t.area());
  std::erase_if(kicked_, [&](const Kicked& k) { return k.thread == &t; });
  std::erase(expected_children_, &t);
  if (beside_ == &t) beside_ = nullptr;
  // Its host thread may get another guest thread.
  if (std::erase(kept_off_, &t)) (void)t.set_affinity(t.affinity());
}

void TrapPlatform::name_thread(TrapThread& t, pid_t tid) {
  t.set_tid(tid);
  by_tid_[tid] = &t;
}

void TrapPlatform::report(TrapThread& t) {
  if (std::find(posted_.begin(), posted_.end(), &t) == posted_.end()) posted_.push_back(&t);
}

// Who was in a futex wait goes on with it before others may wake it.
void TrapPlatform::report_post(TrapThread& t) {
  if (t.is_awaited() || t.is_fresh()) return;
  t.was_waiting() ? posted_.push_front(&t) : posted_.push_back(&t);
}

void TrapPlatform::end_process(pid_t pid, Ending what) {
  if (pid == 0) {  // It has ended already.
    for (auto [block, used] : what.blocks) areas_.release_block(block, used);
    return;
  }
  kill_process(pid, SIGKILL);
  ending_.emplace(pid, std::move(what));
}

void TrapPlatform::process_ended(pid_t pid) {
  if (auto it = ending_.find(pid); it != ending_.end()) {
    for (auto [block, used] : it->second.blocks) areas_.release_block(block, used);
    ending_.erase(it);
    return;
  }
  for (auto& [index, t] : by_index_) {
    if (t->trap_space()->pid() != pid) continue;
    t->trap_space()->lose();
    return;
  }
}

void TrapPlatform::reap() {
  while (const pid_t pid = next_ended_child()) process_ended(pid);
}

// The first call of a fork's child names its process: it maps the area that was made for it.
bool TrapPlatform::let_child_map(const Listener::Notice& n) {
  for (TrapThread* child : expected_children_) {
    const StubCall* e = child->expected(n);
    // A number that is no child's of ours would be free for any process once its owner ends.
    if (!e || !is_child(n.tid)) continue;
    child->trap_space()->set_pid(n.tid);
    name_thread(*child, n.tid);
    std::erase(expected_children_, child);
    child->take_expected();
    listener_.let_through(n.id);
    return true;
  }
  return false;
}

// No stub of ours does that by itself: its guest has got hold of it. Refused alone, it might go on
// for ever.
void TrapPlatform::refuse(const Listener::Notice& n) {
  LOG_INFO("a stub process is killed: it asks for a call that nobody ordered");
  count.stubs_killed++;
  kill_process(n.tid, SIGKILL);
  listener_.answer(n.id, EPERM);
}

void TrapPlatform::on_post_notice(const Listener::Notice& n) {
  auto it = by_index_.find(uint32_t(n.args[0]));
  if (it == by_index_.end()) {
    auto gone = gone_.find(uint32_t(n.args[0]));
    if (gone == gone_.end() || gone->second.tid != n.tid) return refuse(n);
    // Told to exit before it had slept, it will see; or it sleeps for good.
    if (!gone->second.asleep) listener_.answer(n.id);
    return;
  }
  TrapThread& t = *it->second;
  // A fresh thread is named by its maker's result, which may come later than its first post.
  // Nobody of another process speaks for it meanwhile.
  const bool its_own =
      t.tid() ? t.tid() == n.tid : send_thread_signal(t.trap_space()->pid(), n.tid, 0);
  if (!its_own) return refuse(n);
  if (t.tid() == 0) t.claim(n.tid);
  t.set_notice(n.id);
  if (t.take_post()) {
    report_post(t);
  } else if (t.state() == TrapThread::State::kRunning) {
    t.answer_notice();  // The order was there before the stub had slept.
  }
}

void TrapPlatform::on_notice(const Listener::Notice& n) {
  if (n.nr == USK_NR_NOTIFY) return on_post_notice(n);
  auto it = by_tid_.find(n.tid);
  // A guest may have ended its thread behind our back: the number is another's now.
  if (it != by_tid_.end() && !it->second->expected(n) &&
      !send_thread_signal(it->second->trap_space()->pid(), n.tid, 0)) {
    by_tid_.erase(it);
    it = by_tid_.end();
  }
  if (it == by_tid_.end()) {
    if (!let_child_map(n)) refuse(n);
    return;
  }
  TrapThread& t = *it->second;
  const StubCall* c = t.expected(n);
  if (!c) return refuse(n);
  if (c->file && !listener_.install(n.id, c->file->get(), int(c->args[4]))) {
    return listener_.answer(n.id, EMFILE);
  }
  if (c->keep_as >= 0 && listener_.install(n.id, c->file->get(), c->keep_as)) {
    files_.installed(c->keep_as);
  }
  for (const auto& [file, fd] : t.take_brought()) {
    if (listener_.install(n.id, file->get(), fd)) files_.installed(fd);
  }
  t.take_expected();
  listener_.let_through(n.id);
}

void TrapPlatform::kicked(TrapThread& t) {
  auto it = std::ranges::find(kicked_, &t, &Kicked::thread);
  if (it == kicked_.end()) {
    kicked_.push_back({&t, t.runs(), Patience(t.tid())});
  } else if (it->run != t.runs()) {
    *it = {&t, t.runs(), Patience(t.tid())};
  }
}

// A guest that has blocked the signal, or sleeps where none of its code does, has taken its stub
// over.
void TrapPlatform::look_after_kicked() {
  std::erase_if(kicked_, [this](Kicked& k) {
    const bool stopped =
        k.thread->state() != TrapThread::State::kRunning || k.run != k.thread->runs();
    if (stopped || !k.patience.is_over(quiet_)) return stopped;
    k.thread->trap_space()->kill("it does not stop");
    return true;
  });
}

void TrapPlatform::look_for_strays(int64_t now) {
  if (now < strays_.next() || !expected_children_.empty()) return;
  strays_.look(now, [this](pid_t pid) {
    return ending_.contains(pid) || std::ranges::any_of(by_index_, [pid](const auto& entry) {
             return entry.second->trap_space()->pid() == pid;
           });
  });
}

bool TrapPlatform::pump(int fd, int64_t deadline_ns) {
  for (const Kicked& k : kicked_) deadline_ns = std::min(deadline_ns, k.patience.until());
  if (expected_children_.empty()) deadline_ns = std::min(deadline_ns, strays_.next());
  if (deadline_ns && wants_spare_ && !spare_) prepare_spare();
  if (deadline_ns) wakes_.wake_all();    // Nobody looks after them meanwhile.
  if (deadline_ns) set_hand_over(true);  // Who posts leaves its processor.
  const int fds[] = {listener_.fd(), children_, fd};
  const unsigned ready = wait_for_any(fds, deadline_ns);
  count_wake(count, ready, deadline_ns != 0);
  if (ready & 2) reap();
  if (ready & 1) {
    if (auto n = listener_.receive()) on_notice(*n);
  }
  quiet_ = ready == 0;
  const int64_t now = monotonic_now();
  if (now - std::exchange(looked_at_, now) > kLookEveryNs) sort_sleepers();
  looked_ticks_ = ticks();
  if (!kicked_.empty() && (quiet_ || looked_at_ >= look_after_at_)) {
    look_after_at_ = looked_at_ + kLookAfterNs;
    look_after_kicked();
  }
  look_for_strays(looked_at_);
  return ready & 4;
}

bool TrapPlatform::wait_until(TrapThread& t, const std::function<bool()>& condition, bool noticed) {
  for (int i = 0; i < 10; i++) {
    if (condition()) return true;
  }
  // Notices are answered meanwhile: an order may have come before its stub had slept.
  Patience patience(t.tid() ? t.tid() : t.claimed_tid());
  const uint64_t spins_until = ticks() + kWaitUs * ticks_per_us();
  while (!condition()) {
    if (t.state() == TrapThread::State::kLost) return false;
    constexpr int64_t kSoonNs = 20'000;
    if (!noticed && polling_ && ticks() < spins_until) {
      look_at_wakes();
      __builtin_ia32_pause();
      continue;
    }
    pump(-1, noticed ? patience.until() : monotonic_now() + kSoonNs);
    if (!patience.is_over(quiet_)) continue;
    t.trap_space()->kill("its stub does not obey");
    if (!t.trap_space()->pid()) return false;  // It never came to be.
  }
  return true;
}

bool TrapPlatform::wait_for(const std::function<bool()>& condition, int64_t most_ns) {
  constexpr int64_t kSoonNs = 200'000;
  const int64_t end = monotonic_now() + most_ns;
  while (!condition()) {
    const int64_t now = monotonic_now();
    if (now >= end) return false;
    pump(-1, now + kSoonNs);
  }
  return true;
}

size_t TrapPlatform::take_posts() {
  size_t taken = 0;
  for (size_t i = 0; i < running_.size();) {
    TrapThread& t = *running_[i];
    if (!t.take_post()) {
      i++;
      continue;
    }
    taken++;  // It has left running_.
    report_post(t);
  }
  return taken;
}

void TrapPlatform::start_polling(bool crowded) {
  if (beside_guest() && !leave_cpu(current_cpu())) {
    count.polls_refused++;
    return hand_off_.stopped(HandOff::Stop::kShared, looked_at_, 0);
  }
  count.polls_begun++;
  polling_ = true;
  polled_ = 0;
  moves_ = 0;
  crowded_since_ = clock();
  beside_ = nullptr;
  trap::Policy& p = areas_.policy();
  p.polling_cpu = current_cpu();
  std::atomic_ref(p.polling).store(1);
  if (crowded) crowd_together();
}

// Stubs that saw us poll have posted without a notice: they are looked for once more.
void TrapPlatform::stop_polling(HandOff::Stop why) {
  if (!polling_) return;
  count_stop(count, why);
  polling_ = false;
  std::atomic_ref(areas_.policy().polling).store(0);
  if (std::exchange(crowded_, false) && why != HandOff::Stop::kSlower) {
    crowd_.stopped(clock(), why == HandOff::Stop::kPreempted || why == HandOff::Stop::kShared);
  }
  let_run_anywhere(why == HandOff::Stop::kIdle || why == HandOff::Stop::kSlower);
  hand_off_.stopped(why, monotonic_now(), polled_);
  wakes_.wake_all();
  take_posts();
}

// No post has come for a while. False: polling has ended.
bool TrapPlatform::goes_on_idle(Idle& idle, uint64_t now) {
  // Some did not see us poll in time.
  if (ticks_to_ns(now - looked_ticks_) > kHearEveryNs) {
    if (wants_spare_ && !spare_) prepare_spare();
    pump(-1, 0);
    if (!posted_.empty()) return true;
  }
  const int64_t waited = ticks_to_ns(now - idle.since);
  const bool wanted = crowded_ && hand_off_.crowded(woken());
  const bool too_long = waited > (wanted ? Crowd::kIdleNs : HandOff::kIdleNs);
  // Perhaps the guest waits for the very processor that is polled on.
  if (too_long || (!idle.looked_beside && waited > kBesideNs)) {
    idle.looked_beside = true;
    TrapThread* const waits = beside_guest();
    if (waits && get_apart(*waits)) {
      idle = {.since = ticks()};
      return true;
    }
    if (waits || too_long) {
      stop_polling(waits ? HandOff::Stop::kShared : HandOff::Stop::kIdle);
      return false;
    }
  }
  if (!running_.empty()) return true;
  stop_polling(HandOff::Stop::kEmpty);
  return false;
}

bool TrapPlatform::spin(int64_t deadline_ns) {
  if (polling_) keep_polling_apart();
  if (!polling_) {
    if (!posted_.empty()) return true;
    const bool crowded = hand_off_.crowded(awake()) && crowd_.should_poll(clock());
    if (!crowded && !hand_off_.should_poll(awake(), looked_at_)) return false;
    start_polling(crowded);
    if (!polling_) return !posted_.empty();
    if (!posted_.empty()) return true;
  }
  Idle idle{.since = ticks()};
  const uint64_t gap = HandOff::kGapNs / 1000 * ticks_per_us();
  uint64_t last = idle.since;
  for (unsigned i = 0;; i++) {
    look_at_wakes();
    const size_t taken = take_posts();
    polled_ += taken;
    const uint64_t now = ticks(), since = now - std::exchange(last, now);
    if (since > gap) {
      stop_polling(HandOff::Stop::kPreempted);
      return !posted_.empty();
    }
    if (crowded_ && !crowd_.polled(int64_t(taken), ticks_to_ns(now))) {
      stop_polling(HandOff::Stop::kSlower);
      return !posted_.empty();
    }
    if (taken) {
      wakes_.posted(ticks_to_ns(now));
      return true;
    }
    __builtin_ia32_pause();
    if (i % 16 != 15) continue;
    if (!goes_on_idle(idle, now) || !posted_.empty()) return !posted_.empty();
    last = ticks();
    if (deadline_ns != INT64_MAX && monotonic_now() >= deadline_ns) return true;
  }
}

bool TrapPlatform::poll(int fd, Deadline until, const OnTrap& on_trap) {
  bool readable = false;
  look_at_wakes();
  if (posted_.empty() && !spin(until.ns)) {
    readable = pump(fd, until.ns);
  } else if (ticks_to_ns(ticks() - looked_ticks_) > kLookEveryNs) {
    readable = pump(fd, 0);
  }
  for (size_t n = posted_.size(); n > 0 && !posted_.empty(); n--) {
    TrapThread& t = *posted_.front();
    posted_.pop_front();
    if (t.state() == TrapThread::State::kLost) {
      on_trap(t, {.kind = Trap::Kind::kLost});
    } else if (auto trap = t.trap()) {
      on_trap(t, *trap);
    }
  }
  return readable;
}

}  // namespace usk::platform
