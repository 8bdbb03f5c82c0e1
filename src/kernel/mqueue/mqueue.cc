#include "kernel/mqueue/mqueue.h"

#include <fmt/format.h>

#include "kernel/kernel.h"
#include "kernel/signal/send.h"
#include "kernel/task/task.h"

namespace usk {

PollMask MqueueInode::poll() {
  Lock lock(mu_);
  return (count_ > 0 ? POLLIN | POLLRDNORM : 0) |
         (count_ < limits_.messages ? POLLOUT | POLLWRNORM : 0);
}

uint64_t MqueueInode::count() {
  Lock lock(mu_);
  return count_;
}

Result<Ref<File>> MqueueInode::open(Path path, int flags, Ref<const Creds> creds) {
  return make_ref<MqueueFile>(std::move(path), flags, std::move(creds));
}

Result<void> MqueueInode::send(Task& sender, MqMessage& m) {
  Lock lock(mu_);
  if (count_ >= limits_.messages) return Err(EAGAIN);
  touch_locked(kTouchMtime | kTouchCtime);
  if (!line_.empty()) {
    MqReceiver& r = *line_.front();
    line_.pop_front();
    r.message = std::move(m);
    r.done.wake(POLLIN);
    return {};
  }
  bytes_ += m.text.size();
  messages_[m.priority].push_back(std::move(m));
  if (++count_ == 1) tell(sender);
  queue_.wake(POLLIN | POLLRDNORM);
  return {};
}

Result<MqMessage> MqueueInode::receive(MqReceiver* line) {
  Lock lock(mu_);
  if (line && line->message) return std::move(*line->message);
  if (count_ == 0) {
    if (line && !line->in_line) {
      line->in_line = true;
      line_.push_back(line);
    }
    return Err(EAGAIN);
  }
  auto best = messages_.begin();
  MqMessage m = std::move(best->second.front());
  best->second.pop_front();
  if (best->second.empty()) messages_.erase(best);
  count_--;
  bytes_ -= m.text.size();
  touch_locked(kTouchAtime | kTouchCtime);
  queue_.wake(POLLOUT | POLLWRNORM);
  return m;
}

void MqueueInode::leave(MqReceiver& r) {
  Lock lock(mu_);
  line_.remove(&r);
}

// A registration serves once.
void MqueueInode::tell(Task& sender) {
  if (!notify_) return;
  const MqNotify n = *std::exchange(notify_, std::nullopt);
  if (n.kind != SIGEV_SIGNAL || n.signal == 0) return;
  Lock lock(task_mutex);
  Ref<Pid> pid = sender.kernel.root_pid_ns->find(n.process);
  if (!pid || pid->serial() != n.serial || !pid->group || !pid->group->leader) return;
  const Task& to = *pid->group->leader;
  siginfo_t info = user_siginfo(n.signal, SI_MESGQ, sender.group->pid->nr_in(to.pid_ns()),
                                to.creds->user_ns->uid_out(sender.creds->uid));
  info.si_value.sival_ptr = reinterpret_cast<void*>(n.value);
  // A full queue of signals loses it, as Linux.
  (void)send_group_signal(*pid->group, info);
}

Result<void> MqueueInode::set_notify(Task& by, std::optional<MqNotify> notify) {
  Lock lock(mu_);
  const Pid& pid = *by.group->pid;
  if (!notify) {
    if (notify_ && notify_->serial == pid.serial()) notify_.reset();
    return {};
  }
  if (notify_) return Err(EBUSY);
  notify->process = pid.root_nr();
  notify->serial = pid.serial();
  notify_ = notify;
  touch_locked(kTouchAtime | kTouchCtime);
  return {};
}

std::string MqueueInode::describe(const PidNamespace& reader) {
  Lock lock(mu_);
  int process = 0;
  if (notify_ && current_task()) {
    Lock tasks(task_mutex);
    Ref<Pid> pid = current_task()->kernel.root_pid_ns->find(notify_->process);
    if (pid && pid->serial() == notify_->serial) process = pid->nr_in(reader);
  }
  const bool by_signal = notify_ && notify_->kind == SIGEV_SIGNAL;
  return fmt::format("QSIZE:{:<10} NOTIFY:{:<5} SIGNO:{:<5} NOTIFY_PID:{:<6}\n", bytes_,
                     notify_ ? notify_->kind : 0, by_signal ? notify_->signal : 0, process);
}

Result<size_t> MqueueFile::read(IoOut& dst, uint64_t& pos) {
  const Task* t = current_task();
  if (!t) return Err(EIO);
  const std::string text = mqueue().describe(t->pid_ns());
  if (pos >= text.size()) return 0;
  const size_t n = std::min<size_t>(dst.size(), text.size() - pos);
  const size_t done = TRY(dst.put(std::as_bytes(std::span(text).subspan(pos, n))));
  pos += done;
  return done;
}

Result<void> MqueueFile::flush() {
  if (Task* t = current_task()) return mqueue().set_notify(*t, std::nullopt);
  return {};
}

}  // namespace usk
