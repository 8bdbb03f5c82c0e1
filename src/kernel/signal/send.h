// Sending signals: kill(2), signal(7), job control stops.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// Queues a signal for one task, or for any thread of its group, and wakes who is to take it.
// EAGAIN: a real-time signal found the queue full (RLIMIT_SIGPENDING). Ignored signals vanish.
Result<void> send_signal(Task& target, const siginfo_t& info, SignalScope scope)
    REQUIRES(task_mutex);
Result<void> send_group_signal(ThreadGroup& group, const siginfo_t& info) REQUIRES(task_mutex);
// `t`, which may have been told of some of these of its group's, takes them no longer: others are
// told of what is still there.
void pass_on_signals(Task& t, SignalSet signals) REQUIRES(task_mutex);
// Whether a signal to the group would not vanish, for whom it costs something to fill in.
bool has_use_for(ThreadGroup& group, int sig) REQUIRES(task_mutex);
// To each process of a group: terminals, kill(2) of a negative id. How many got it.
int signal_process_group(ProcessGroup& group, const siginfo_t& info) REQUIRES(task_mutex);

// A fault: cannot be ignored or blocked (a blocked or ignored one kills).
void force_signal(Task& t, siginfo_t info) REQUIRES(task_mutex);

// A signal that ends the process, whatever it blocks, handles or has for a tracer.
void force_fatal_signal(Task& t, const siginfo_t& info) REQUIRES(task_mutex);

// All threads of the group are to end with this wait status (the first caller decides).
void begin_group_exit(ThreadGroup& group, int wait_status) REQUIRES(task_mutex);

// The same by a signal whose default is to dump core, which nobody can handle: `t` does so before
// it ends (kernel/core).
void kill_group(Task& t, const siginfo_t& info) REQUIRES(task_mutex);

// Who may signal whom: kill(2).
bool may_signal(const Task& sender, const Task& target, int sig) REQUIRES(task_mutex);

// A new mask: pending signals that it lets through are looked at, newly blocked ones passed on.
void set_blocked(Task& t, SignalSet mask) REQUIRES(task_mutex);

// A stop signal's default action, unless the group is orphaned (POSIX) or SIGCONT came meanwhile.
void begin_group_stop(Task& t, int sig) REQUIRES(task_mutex);
// The task takes part in a stop that was begun. True: it was the last, the group is stopped now.
bool join_group_stop(Task& t) REQUIRES(task_mutex);
// A task that ends no longer keeps the others waiting for it.
void leave_group_stop(Task& t) REQUIRES(task_mutex);
// SIGCONT and SIGKILL.
void end_group_stop(ThreadGroup& group, bool report) REQUIRES(task_mutex);

// Tells the parent of a change of state, with SIGCHLD as sigaction(2) describes it.
void notify_parent(ThreadGroup& child, int code, int status) REQUIRES(task_mutex);

// What SIGCHLD tells `to` of a task.
siginfo_t child_siginfo(const Task& child, const Usage& usage, const ThreadGroup& to, int code,
                        int status) REQUIRES(task_mutex);

// The number by which `seen_by` knows the sender.
int sender_pid(const Task& sender, const Task& seen_by);

}  // namespace usk
