// Process ids and pid namespaces: pid_namespaces(7).
#pragma once
#include <map>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/ref.h"
#include "base/result.h"
#include "base/wait.h"
#include "creds/user_namespace.h"

namespace usk {

class Pid;
class ProcessGroup;
class Session;
class Task;
class ThreadGroup;

// Guards the process tree, pids, signals, stops and exit states of all tasks.
extern Mutex<Rank::kTaskSet> task_mutex;

class PidNamespace final : public RefCounted {
 public:
  static constexpr int kMaxLevel = 32;
  PidNamespace(Ref<PidNamespace> parent, Ref<UserNamespace> owner);
  explicit PidNamespace(Blank) {}

  const Ref<PidNamespace>& parent() const { return parent_; }
  const Ref<UserNamespace>& owner() const { return owner_; }
  int level() const { return level_; }
  uint64_t id() const { return id_; }
  bool is_ancestor_of(const PidNamespace& of) const;

  // The pid that has this number here, or null.
  Ref<Pid> find(int nr) REQUIRES(task_mutex);
  std::vector<Ref<Pid>> all() REQUIRES(task_mutex);
  // Its init; null before the first task and after its end, when no task can be made.
  ThreadGroup* init GUARDED_BY(task_mutex) = nullptr;
  bool dead GUARDED_BY(task_mutex) = false;
  int pid_max = 4194304;
  int last_pid() const { return last_; }
  void set_last_pid(int nr) { last_ = nr; }

  USK_FIELDS(parent_, owner_, level_, id_, last_, init, dead, pid_max)

 private:
  friend class Pid;
  Result<int> allocate(Pid* pid, int wanted) REQUIRES(task_mutex);

  Ref<PidNamespace> parent_;
  Ref<UserNamespace> owner_;
  int level_ = 0;
  uint64_t id_ = 0;
  int last_ = 0;
  std::map<int, Pid*> pids_ GUARDED_BY(task_mutex);
};

// Linux's struct pid: one number in a namespace and one in each of its ancestors. It names a
// task, and perhaps a thread group, a process group and a session, and outlives them while
// anything holds it. Made and dropped under task_mutex.
class Pid final : public RefCounted {
 public:
  // `wanted` (clone3's set_tid) gives numbers from the innermost namespace outwards. EAGAIN when
  // numbers are used up, ENOMEM when the namespace is dead, EEXIST for a wanted one in use.
  static Result<Ref<Pid>> make(Ref<PidNamespace> ns, const std::vector<int>& wanted)
      REQUIRES(task_mutex);
  Pid() : serial_(next_serial()) {}
  explicit Pid(Blank) {}
  ~Pid() override;

  uint64_t serial() const { return serial_; }  // Never used again, unlike the numbers.
  // The number as `ns` sees it; 0 when it does not.
  int nr_in(const PidNamespace& ns) const;
  int root_nr() const { return numbers_[0].nr; }  // In the initial namespace.
  int own_nr() const { return numbers_.back().nr; }
  PidNamespace& ns() const { return *numbers_.back().ns; }
  const Ref<PidNamespace>& ns_ref() const { return numbers_.back().ns; }
  std::vector<int> numbers() const;  // From the innermost namespace outwards.

  Task* task GUARDED_BY(task_mutex) = nullptr;
  ThreadGroup* group GUARDED_BY(task_mutex) = nullptr;
  ProcessGroup* process_group GUARDED_BY(task_mutex) = nullptr;
  Session* session GUARDED_BY(task_mutex) = nullptr;
  // pidfd_open(2): woken with POLLIN when the thread group has exited.
  WaitQueue exit_queue;

 private:
  struct Number {
    Ref<PidNamespace> ns;
    int nr = 0;
    USK_FIELDS(ns, nr)
  };
  static uint64_t next_serial();
  std::vector<Number> numbers_;  // By level of namespace.
  uint64_t serial_ = 0;

 public:
  // The numbers are taken in their namespaces.
  OrFailure<void> restored(state::Restored&);
  USK_FIELDS(numbers_, serial_, task, group)
};

}  // namespace usk
