// Calls that wait for a supervisor's answer: seccomp_unotify(2).
#pragma once
#include <linux/seccomp.h>

#include <atomic>
#include <map>
#include <optional>

#include "base/failure.h"
#include "base/fields.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"

namespace usk {

class FdTable;
class File;
class PidNamespace;
class Task;

namespace seccomp {

// One of them. Made by the task that makes the call, which also takes it out of the queue.
class Notification final : public RefCounted {
 public:
  Notification(uint64_t id, Task& task, const seccomp_data& data)
      : id(id), task(task), data(data) {}
  static OrFailure<Ref<Notification>> make_saved(state::Fields& in);
  const uint64_t id;
  Task& task;  // Waits in SyscallUserNotif for as long as this is in a queue.
  const seccomp_data data;
  WaitQueue answered;
  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    Task* const of = &task;
    ar.all("id, task, data, state_, reply_", id, of, data, state_, reply_);
  }

 private:
  friend class NotifyQueue;
  enum class State { kNew, kTaken, kAnswered };
  friend constexpr State saved_max(State) { return State::kAnswered; }
  // Guarded by the queue's lock.
  State state_ = State::kNew;
  seccomp_notif_resp reply_{};
};

// What a filter and its listener share: the notifications in the order in which they came. There is
// one per waiting task at most.
class NotifyQueue final : public RefCounted {
 public:
  explicit NotifyQueue(bool wait_killable);
  explicit NotifyQueue(Blank) {}

  // --- By the task that makes the call.
  // Null: nobody listens any more.
  Ref<Notification> post(Task& t, const seccomp_data& data) EXCLUDES(mu_);
  // The answer, with which the notification leaves the queue.
  std::optional<seccomp_notif_resp> take_reply(Notification& n) EXCLUDES(mu_);
  // Whether only a kill may end the wait: WAIT_KILLABLE_RECV, once it was taken.
  bool waits_killably(Notification& n) EXCLUDES(mu_);
  void withdraw(Notification& n) EXCLUDES(mu_);

  // --- By the listener: the ioctls of seccomp_unotify(2), with its errors.
  // The next one, told in the terms of who listens. EAGAIN: wait on queue() for POLLIN or POLLHUP.
  // ENOENT: who made the call was gone before it was asked for.
  Result<seccomp_notif> take(const PidNamespace& seen_by) EXCLUDES(mu_);
  // What was taken could not be told: it is there to be taken again.
  void put_back(uint64_t id) EXCLUDES(mu_);
  Result<void> reply(const seccomp_notif_resp& reply) EXCLUDES(mu_);
  bool is_valid(uint64_t id) EXCLUDES(mu_);
  // Puts a file into the table of who made the call, under its RLIMIT_NOFILE. What it displaces
  // there is for the caller to close.
  struct AddedFd {
    int fd;
    Ref<File> displaced;
    Ref<FdTable> table;
  };
  Result<AddedFd> add_fd(const seccomp_notif_addfd& request, Ref<File> file) EXCLUDES(mu_);
  void set_flags(uint32_t flags) EXCLUDES(mu_);
  PollMask poll() EXCLUDES(mu_);
  WaitQueue& queue() { return queue_; }
  // Nobody listens any more: who waits gets ENOSYS.
  void close() EXCLUDES(mu_);

  // No task has the filter any more.
  void hang_up();

  USK_FIELDS(wait_killable_, open_, hung_up_, to_take_, flags_, next_id_, waiting_)

 private:
  using Map = std::map<uint64_t, Ref<Notification>>;
  Notification* find(uint64_t id) REQUIRES(mu_);

  bool wait_killable_ = false;
  Mutex<Rank::kFile> mu_;
  bool open_ GUARDED_BY(mu_) = true;
  std::atomic<bool> hung_up_{false};
  // Posts that nobody has come for. Linux: those withdrawn meanwhile count, too.
  uint64_t to_take_ GUARDED_BY(mu_) = 0;
  uint32_t flags_ GUARDED_BY(mu_) = 0;
  uint64_t next_id_ GUARDED_BY(mu_) = 0;
  Map waiting_ GUARDED_BY(mu_);  // In order: ids only grow.
  WaitQueue queue_;
};

}  // namespace seccomp
}  // namespace usk
