#include "kernel/seccomp/notify_queue.h"

#include "fs/vfs/saving.h"
#include "host/random.h"
#include "kernel/task/task.h"

// Members by name, for state/writer.h.
static auto saved_parts(seccomp_data& v) {
  return std::tie(v.nr, v.arch, v.instruction_pointer, v.args);
}
static auto saved_parts(seccomp_notif_resp& v) { return std::tie(v.id, v.val, v.error, v.flags); }

namespace usk::seccomp {
namespace {

constexpr PollMask kReadable = POLLIN | POLLRDNORM, kWritable = POLLOUT | POLLWRNORM;

// Ids begin anywhere, so that nobody takes one of another listener for its own; they never wrap.
uint64_t first_id() {
  uint64_t id;
  host::fill_random(std::as_writable_bytes(std::span(&id, 1)));
  return id >> 1;
}

}  // namespace

USK_SAVED(Notification, "kernel/seccomp/notification")
USK_SAVED(NotifyQueue, "kernel/seccomp/notify_queue")

OrFailure<Ref<Notification>> Notification::make_saved(state::Fields& in) {
  return make_ref<Notification>(TRY(in.value<uint64_t>("id")), *TRY(in.ref<Task>("task")),
                                TRY(in.value<seccomp_data>("data")));
}

NotifyQueue::NotifyQueue(bool wait_killable)
    : wait_killable_(wait_killable), next_id_(first_id()) {}

Ref<Notification> NotifyQueue::post(Task& t, const seccomp_data& data) {
  Lock lock(mu_);
  if (!open_) return {};
  auto n = make_ref<Notification>(next_id_++, t, data);
  waiting_.emplace(n->id, n);
  to_take_++;
  queue_.wake(kReadable);
  return n;
}

std::optional<seccomp_notif_resp> NotifyQueue::take_reply(Notification& n) {
  Lock lock(mu_);
  if (n.state_ != Notification::State::kAnswered) return std::nullopt;
  waiting_.erase(n.id);
  return n.reply_;
}

bool NotifyQueue::waits_killably(Notification& n) {
  Lock lock(mu_);
  return wait_killable_ && n.state_ != Notification::State::kNew;
}

void NotifyQueue::withdraw(Notification& n) {
  Lock lock(mu_);
  waiting_.erase(n.id);
}

Notification* NotifyQueue::find(uint64_t id) {
  const auto it = waiting_.find(id);
  return it == waiting_.end() ? nullptr : it->second.get();
}

Result<seccomp_notif> NotifyQueue::take(const PidNamespace& seen_by) {
  Lock lock(mu_);
  if (to_take_ == 0 && !hung_up_) return Err(EAGAIN);
  if (!hung_up_) to_take_--;
  for (auto& [id, n] : waiting_) {
    if (n->state_ != Notification::State::kNew) continue;
    n->state_ = Notification::State::kTaken;
    queue_.wake(kWritable);
    seccomp_notif out{};
    out.id = id;
    out.pid = uint32_t(n->task.pid->nr_in(seen_by));
    out.data = n->data;
    return out;
  }
  return Err(ENOENT);
}

void NotifyQueue::put_back(uint64_t id) {
  Lock lock(mu_);
  Notification* n = find(id);
  if (!n) return;
  n->state_ = Notification::State::kNew;
  to_take_++;
  n->answered.wake(POLLIN);  // Signals may end its wait again.
  queue_.wake(kReadable);
}

Result<void> NotifyQueue::reply(const seccomp_notif_resp& reply) {
  Lock lock(mu_);
  Notification* n = find(reply.id);
  if (!n) return Err(ENOENT);
  if (n->state_ != Notification::State::kTaken) return Err(EINPROGRESS);
  n->state_ = Notification::State::kAnswered;
  n->reply_ = reply;
  n->answered.wake(POLLIN);
  return {};
}

bool NotifyQueue::is_valid(uint64_t id) {
  Lock lock(mu_);
  const Notification* n = find(id);
  return n && n->state_ == Notification::State::kTaken;
}

Result<NotifyQueue::AddedFd> NotifyQueue::add_fd(const seccomp_notif_addfd& q, Ref<File> file) {
  Lock lock(mu_);
  Notification* n = find(q.id);
  if (!n) return Err(ENOENT);
  if (n->state_ != Notification::State::kTaken) return Err(EINPROGRESS);
  AddedFd added{};
  {
    Lock task_lock(task_mutex);
    added.table = n->task.fds;
  }
  const uint64_t limit = n->task.limit(RLIMIT_NOFILE);
  const bool cloexec = q.newfd_flags & O_CLOEXEC;
  if (q.flags & SECCOMP_ADDFD_FLAG_SETFD) {
    if (q.newfd > INT32_MAX) return Err(EBADF);
    added.fd = int(q.newfd);
    added.displaced = TRY(added.table->replace(added.fd, std::move(file), cloexec, limit));
  } else {
    added.fd = TRY(added.table->add(std::move(file), cloexec, limit));
  }
  if (q.flags & SECCOMP_ADDFD_FLAG_SEND) {
    n->state_ = Notification::State::kAnswered;
    n->reply_ = {.id = q.id, .val = added.fd, .error = 0, .flags = 0};
    n->answered.wake(POLLIN);
  }
  return added;
}

// SYNC_WAKE_UP is about the host's processors: kept, and nothing else.
void NotifyQueue::set_flags(uint32_t flags) {
  Lock lock(mu_);
  flags_ = flags;
}

PollMask NotifyQueue::poll() {
  Lock lock(mu_);
  PollMask ready = hung_up_ ? POLLHUP : 0;
  for (auto& [id, n] : waiting_) {
    if (n->state_ == Notification::State::kNew) ready |= kReadable;
    if (n->state_ == Notification::State::kTaken) ready |= kWritable;
  }
  return ready;
}

void NotifyQueue::close() {
  Lock lock(mu_);
  open_ = false;
  for (auto& [id, n] : waiting_) {
    if (n->state_ == Notification::State::kAnswered) continue;
    n->state_ = Notification::State::kAnswered;
    n->reply_ = {.id = id, .val = 0, .error = -ENOSYS, .flags = 0};
    n->answered.wake(POLLIN);
  }
}

void NotifyQueue::hang_up() {
  hung_up_ = true;
  queue_.wake(POLLHUP);
}

}  // namespace usk::seccomp
