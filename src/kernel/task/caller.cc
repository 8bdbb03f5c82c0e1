#include "kernel/task/caller.h"

#include "kernel/kernel.h"
#include "kernel/signal/send.h"

namespace usk {

SessionId TaskCaller::session() {
  Lock lock(task_mutex);
  return t_.group->session().id->root_nr();
}

GroupId TaskCaller::group() {
  Lock lock(task_mutex);
  return t_.group->process_group->id->root_nr();
}

bool TaskCaller::is_session_leader() {
  Lock lock(task_mutex);
  return t_.group->session().leader == t_.group.get();
}

bool TaskCaller::group_is_orphaned() {
  Lock lock(task_mutex);
  return t_.group->process_group->is_orphaned();
}

bool TaskCaller::ignores_or_blocks(int signal) {
  Lock lock(task_mutex);
  return (t_.blocked & signal_bit(signal)) || t_.group->handlers->of(signal).is_ignore();
}

Ref<Terminal> TaskCaller::controlling_terminal() {
  Lock lock(task_mutex);
  return t_.group->session().terminal;
}

void TaskCaller::set_controlling_terminal(Ref<Terminal> terminal) {
  Lock lock(task_mutex);
  std::swap(t_.group->session().terminal, terminal);
}

int TaskCaller::group_to_guest(GroupId id) {
  Lock lock(task_mutex);
  Ref<Pid> pid = t_.kernel.root_pid_ns->find(id);
  return pid ? pid->nr_in(t_.pid_ns()) : 0;
}

GroupId TaskCaller::group_from_guest(int id) {
  Lock lock(task_mutex);
  Ref<Pid> pid = t_.pid_ns().find(id);
  return pid && pid->process_group ? pid->root_nr() : 0;
}

SessionId TaskCaller::session_of_group(GroupId id) {
  Lock lock(task_mutex);
  Ref<Pid> pid = t_.kernel.root_pid_ns->find(id);
  return pid && pid->process_group ? pid->process_group->session->id->root_nr() : 0;
}

namespace {

class KernelJobControl final : public JobControl {
 public:
  explicit KernelJobControl(Kernel& k) : k_(k) {}

  void signal_group(GroupId group, int signal) override {
    Lock lock(task_mutex);
    if (Ref<Pid> pid = k_.root_pid_ns->find(group); pid && pid->process_group) {
      signal_process_group(*pid->process_group, kernel_siginfo(signal));
    }
  }

  void hang_up(SessionId session, GroupId foreground) override {
    Lock lock(task_mutex);
    if (Ref<Pid> pid = k_.root_pid_ns->find(session); pid && pid->session) {
      if (ThreadGroup* leader = pid->session->leader) {
        (void)send_group_signal(*leader, kernel_siginfo(SIGHUP));
        (void)send_group_signal(*leader, kernel_siginfo(SIGCONT));
      }
      pid->session->terminal.reset();
    }
    if (Ref<Pid> pid = k_.root_pid_ns->find(foreground); pid && pid->process_group) {
      signal_process_group(*pid->process_group, kernel_siginfo(SIGHUP));
      signal_process_group(*pid->process_group, kernel_siginfo(SIGCONT));
    }
  }

  void forget_terminal(SessionId session) override {
    Lock lock(task_mutex);
    Ref<Pid> pid = k_.root_pid_ns->find(session);
    if (pid && pid->session) pid->session->terminal.reset();
  }

 private:
  Kernel& k_;
};

}  // namespace

void install_job_control(Kernel& kernel) {
  static std::unique_ptr<KernelJobControl> installed;
  installed = std::make_unique<KernelJobControl>(kernel);
  set_job_control(installed.get());
}

}  // namespace usk
