// A task's filters: seccomp(2).
#pragma once
#include <memory>

#include "base/budget.h"
#include "kernel/seccomp/fast_program.h"
#include "kernel/seccomp/notify_queue.h"
#include "kernel/task/pid.h"

namespace usk::seccomp {

class Decisions;
class Filter;

// What filters say about a call: the verdict, and whose it is (null: nobody objects).
struct Judgement {
  uint32_t verdict = SECCOMP_RET_ALLOW;
  const Filter* by = nullptr;
  uint32_t action() const { return verdict & SECCOMP_RET_ACTION_FULL; }
  uint16_t data() const { return uint16_t(verdict & SECCOMP_RET_DATA); }
};

// A program that a task has installed, and by prev() those installed before it. Forked tasks share
// a chain. Nothing of it changes once it is attached to a task, but who uses it.
class Filter final : public RefCounted {
 public:
  // EINVAL of a program that Linux would not take, ENOMEM beyond the kernel's budget.
  // `flags` as seccomp(2) has them, already checked.
  static Result<Ref<Filter>> make(Program program, uint32_t flags);
  Filter(Program program, uint32_t flags, Charge charge);
  ~Filter() override;
  static OrFailure<Ref<Filter>> make_saved(state::Fields& in);
  OrFailure<void> restored(state::Restored&);

  // The limit on all of a task's filters is passed: ENOMEM.
  Result<void> put_before(const Ref<Filter>& newest);
  const Ref<Filter>& prev() const { return prev_; }
  // Whether `other` is this filter or one installed before it; nothing is before all.
  bool descends_from(const Filter* other) const;

  std::span<const sock_filter> program() const { return program_; }
  const FastProgram& fast_program() const { return fast_program_; }
  bool logs() const { return log_; }
  size_t depth() const { return depth_; }  // How many filters the chain has.
  // The n-th of the chain; 0 is this one. Null beyond its end.
  const Filter* nth(size_t n) const;
  // Where calls wait for their answers; null unless it was made with a listener.
  const Ref<NotifyQueue>& notify_queue() const { return notify_queue_; }
  bool any_reads_ip() const { return any_reads_ip_; }  // Any of the chain.

  // All filters of the chain on one call; the most restrictive verdict, of the newest among equals.
  // `data` may be without the instruction pointer where nobody reads it.
  Judgement judge(const seccomp_data& data) const;

  // Which tasks a chain still binds: counted for their sake who listens.
  static void add_user(Filter& newest) REQUIRES(task_mutex) { newest.users_++; }
  static void drop_user(Filter* newest) REQUIRES(task_mutex);

  USK_FIELDS(prev_, program_, log_, notify_queue_, users_)

 private:
  const Program program_;
  const FastProgram fast_program_;
  const bool log_;
  const bool reads_ip_;
  const size_t counted_length_;
  Ref<NotifyQueue> notify_queue_;
  const Charge charge_;
  Ref<Filter> prev_;
  // Of the whole chain.
  size_t depth_ = 1;
  size_t total_length_;
  bool any_reads_ip_;
  // Tasks whose newest it is, and filters in use that it is prev() of.
  size_t users_ GUARDED_BY(task_mutex) = 0;
  const std::unique_ptr<Decisions> decisions_;
};

}  // namespace usk::seccomp
