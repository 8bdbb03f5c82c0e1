#include "kernel/ipc/msg.h"

#include <linux/capability.h>
#include <poll.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif

namespace usk {

Result<Message> Message::make(int64_t type, size_t size) {
  Message m;
  if (!m.charge.set(sizeof(Message) + size)) return Err(ENOMEM);
  m.type = type;
  m.text.resize(size);
  return m;
}

MsgWish MsgWish::make(int64_t type, size_t max, int flags) {
  MsgWish w{.type = type, .max = max, .truncates = (flags & MSG_NOERROR) != 0};
  if (flags & MSG_COPY) {
    w.which = Which::kNumber;
    w.copies = true;
  } else if (type < 0) {
    w.which = Which::kLessOrEqual;
    w.type = type == INT64_MIN ? INT64_MAX : -type;
  } else if (type > 0) {
    w.which = flags & MSG_EXCEPT ? Which::kNotEqual : Which::kEqual;
  }
  return w;
}

bool MsgWish::matches(const Message& m) const {
  switch (which) {
    case Which::kAny:
    case Which::kNumber: return true;
    case Which::kEqual: return m.type == type;
    case Which::kNotEqual: return m.type != type;
    case Which::kLessOrEqual: return m.type <= type;
  }
  return false;
}

Result<int> MsgTable::get(const IpcCaller& who, key_t key, int flags) {
  Lock lock(mu_);
  auto make = [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<MsgQueue>> {
    auto q = make_ref<MsgQueue>();
    q->max_bytes = uint64_t(limits_.max_bytes);
    q->changed_at = ipc_now();
    return q;
  };
  return ipc_get(
      queues_, key, flags, size_t(limits_.queues), *who.creds, *owner_,
      [](MsgQueue&) -> Result<void> { return {}; }, make);
}

Result<Ref<MsgQueue>> MsgTable::find(const IpcCaller& who, int id, uint32_t access) {
  Lock lock(mu_);
  MsgQueue* q = TRY(queues_.get(id));
  TRY(may_use(q->perm, access, *who.creds, *owner_));
  return Ref<MsgQueue>::share(q);
}

// Linux: a message goes to the first in line that it suits; one whose buffer is too small ends its
// wait with E2BIG, and the next is asked.
bool MsgTable::hand_over(MsgQueue& q, Message& message) {
  for (auto it = q.receivers.begin(); it != q.receivers.end();) {
    MsgReceiver& r = **it;
    if (!r.wish.matches(message)) {
      ++it;
      continue;
    }
    it = q.receivers.erase(it);
    const bool fits = r.wish.truncates || message.text.size() <= r.wish.max;
    if (fits) {
      q.last_receiver = r.pid;
      q.received_at = ipc_now();
      r.outcome = std::move(message);
    } else {
      r.outcome = Err(E2BIG);
    }
    r.done.wake(POLLIN);
    if (fits) return true;
  }
  return false;
}

Result<void> MsgTable::send(const IpcCaller& who, MsgQueue& q, Message& message) {
  Lock lock(mu_);
  if (q.removed) return Err(EIDRM);
  TRY(may_use(q.perm, 0222, *who.creds, *owner_));
  const uint64_t size = message.text.size();
  // Messages without text take room, too: no more of them than the queue has bytes.
  if (q.bytes + size > q.max_bytes || q.messages.size() + 1 > q.max_bytes) return Err(EAGAIN);
  q.last_sender = who.pid;
  q.sent_at = ipc_now();
  if (hand_over(q, message)) return {};
  q.bytes += size;
  q.messages.push_back(std::move(message));
  return {};
}

namespace {

std::list<Message>::iterator choose(MsgQueue& q, const MsgWish& wish) {
  auto best = q.messages.end();
  int64_t number = wish.type;
  for (auto it = q.messages.begin(); it != q.messages.end(); ++it) {
    if (wish.which == MsgWish::Which::kNumber) {
      if (number-- == 0) return it;
      continue;
    }
    if (!wish.matches(*it)) continue;
    if (wish.which != MsgWish::Which::kLessOrEqual) return it;
    if (best == q.messages.end() || it->type < best->type) best = it;
  }
  return best;
}

}  // namespace

Result<Message> MsgTable::receive_locked(const PidStamp& by, MsgQueue& q, const MsgWish& wish) {
  auto it = choose(q, wish);
  if (it == q.messages.end()) return Err(ENOMSG);
  if (it->text.size() > wish.max && !wish.truncates) return Err(E2BIG);
  if (wish.copies) {
    if (it->text.size() > wish.max) return Err(EINVAL);  // Linux: a copy is not truncated.
    Message copy = TRY(Message::make(it->type, it->text.size()));
    copy.text = it->text;
    return copy;
  }
  Message m = std::move(*it);
  q.messages.erase(it);
  q.bytes -= m.text.size();
  q.last_receiver = by;
  q.received_at = ipc_now();
  q.senders.wake(POLLOUT);
  return m;
}

Result<Message> MsgTable::receive(const IpcCaller& who, MsgQueue& q, const MsgWish& wish) {
  Lock lock(mu_);
  if (q.removed) return Err(EIDRM);
  return receive_locked(who.pid, q, wish);
}

Result<Message> MsgTable::receive_or_wait(const IpcCaller& who, const Ref<MsgQueue>& queue,
                                          MsgReceiver& r) {
  Lock lock(mu_);
  if (!r.queue) {
    if (queue->removed) return Err(EIDRM);
    TRY(may_use(queue->perm, 0444, *who.creds, *owner_));
    Result<Message> m = receive_locked(who.pid, *queue, r.wish);
    if (!failed_with(m, ENOMSG)) return m;
    r.queue = queue;
    queue->receivers.push_back(&r);
  }
  if (!r.outcome) return Err(EAGAIN);
  Result<Message> m = std::move(*r.outcome);
  r.outcome.reset();
  return m;
}

void MsgTable::leave(MsgReceiver& r) {
  Lock lock(mu_);
  if (r.queue) r.queue->receivers.remove(&r);
}

Result<void> MsgTable::remove(const IpcCaller& who, int id) {
  Ref<MsgQueue> held;
  Lock lock(mu_);
  MsgQueue* q = TRY(queues_.get(id));
  TRY(may_control(q->perm, *who.creds, *owner_));
  held = queues_.remove(*q);
  for (MsgReceiver* r : std::exchange(q->receivers, {})) {
    r->outcome = Err(EIDRM);
    r->done.wake(POLLIN);
  }
  q->senders.wake(POLLOUT);
  return {};
}

Result<void> MsgTable::set(const IpcCaller& who, int id, const msqid_ds& to) {
  Lock lock(mu_);
  MsgQueue* q = TRY(queues_.get(id));
  TRY(may_control(q->perm, *who.creds, *owner_));
  if (to.msg_qbytes > uint64_t(limits_.max_bytes) &&
      !who.creds->capable(CAP_SYS_RESOURCE, *owner_)) {
    return Err(EPERM);
  }
  TRY(change_perm(q->perm, to.msg_perm, *who.creds));
  q->max_bytes = to.msg_qbytes;
  q->changed_at = ipc_now();
  // Receivers may have lost their permission, senders may have room now.
  for (MsgReceiver* r : std::exchange(q->receivers, {})) {
    r->queue.reset();
    r->done.wake(POLLIN);
  }
  q->senders.wake(POLLOUT);
  return {};
}

}  // namespace usk
