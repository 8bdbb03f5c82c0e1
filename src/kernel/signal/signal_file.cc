#include "kernel/signal/signal_file.h"

#include "fs/vfs/saving.h"

#include <fmt/format.h>
#include <string.h>
#include <sys/signalfd.h>

#include <algorithm>

namespace usk {

USK_SAVED(SignalFile, "kernel/signal_file")

SignalFile::SignalFile(Task& maker, SignalSet mask, bool nonblocking)
    : AnonFile("[signalfd]", O_RDWR | (nonblocking ? O_NONBLOCK : 0), maker.creds),
      maker_(Ref<Task>::share(&maker)),
      relay_(make_ref<Relay>()),
      mask_(mask) {}

SignalFile::~SignalFile() {
  std::vector<Ref<Task>> heard;
  {
    Lock lock(task_mutex);
    heard = std::move(heard_);
  }
  for (auto& t : heard) t->signal_queue.remove(relay_.get());
}

Ref<Task> SignalFile::reader() const {
  Task* t = current_task();
  return t ? Ref<Task>::share(t) : maker_;
}

WaitQueue& SignalFile::queue() {
  Ref<Task> t = reader();
  Lock lock(task_mutex);
  for (size_t i = 0; i < heard_.size();) {
    if (heard_[i]->dead) {
      heard_.erase(heard_.begin() + long(i));
    } else {
      i++;
    }
  }
  if (std::find(heard_.begin(), heard_.end(), t) == heard_.end()) {
    t->signal_queue.add(relay_, POLLIN);
    heard_.push_back(t);
  }
  return relay_->queue;
}

namespace {

signalfd_siginfo to_record(const siginfo_t& i) {
  signalfd_siginfo r;
  memset(&r, 0, sizeof r);
  r.ssi_signo = uint32_t(i.si_signo);
  r.ssi_errno = i.si_errno;
  r.ssi_code = i.si_code;
  if (i.si_code == SI_TIMER) {
    r.ssi_tid = uint32_t(i.si_timerid);
    r.ssi_overrun = uint32_t(i.si_overrun);
    r.ssi_ptr = reinterpret_cast<uint64_t>(i.si_ptr);
    r.ssi_int = i.si_int;
  } else if (i.si_signo == SIGCHLD && i.si_code > 0) {
    r.ssi_pid = uint32_t(i.si_pid);
    r.ssi_uid = i.si_uid;
    r.ssi_status = i.si_status;
    r.ssi_utime = uint64_t(i.si_utime);
    r.ssi_stime = uint64_t(i.si_stime);
  } else if (i.si_code <= 0) {
    r.ssi_pid = uint32_t(i.si_pid);
    r.ssi_uid = i.si_uid;
    if (i.si_code != SI_USER && i.si_code != SI_TKILL) {
      r.ssi_ptr = reinterpret_cast<uint64_t>(i.si_ptr);
      r.ssi_int = i.si_int;
    }
  } else {
    r.ssi_addr = reinterpret_cast<uint64_t>(i.si_addr);
  }
  return r;
}

}  // namespace

Result<size_t> SignalFile::read(IoOut& dst, uint64_t&) {
  if (dst.size() < sizeof(signalfd_siginfo)) return Err(EINVAL);
  Ref<Task> t = reader();
  size_t done = 0;
  while (dst.size() >= sizeof(signalfd_siginfo)) {
    std::optional<siginfo_t> info;
    {
      Lock lock(task_mutex);
      info = t->pending.take(mask_);
      if (!info) info = t->group->pending.take(mask_);
    }
    if (!info) break;
    done += TRY(dst.put_object(to_record(*info)));
  }
  if (done == 0) return Err(EAGAIN);
  return done;
}

PollMask SignalFile::poll() {
  Ref<Task> t = reader();
  Lock lock(task_mutex);
  const SignalSet pending = t->pending.set() | t->group->pending.set();
  return pending & mask_ ? POLLIN | POLLRDNORM : 0;
}

std::string SignalFile::fdinfo() const {
  Lock lock(task_mutex);
  return fmt::format("sigmask:\t{:016x}\n", mask_);
}

void SignalFile::set_mask(SignalSet mask) {
  {
    Lock lock(task_mutex);
    mask_ = mask;
  }
  relay_->queue.wake(POLLIN);
}

}  // namespace usk
