// msgget(2), msgsnd(2), msgrcv(2), msgctl(2).
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "kernel/wait/block_on.h"
#include "state/saved.h"
#include "syscalls/syscalls.h"

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
#ifndef MSG_STAT_ANY
#define MSG_STAT_ANY 13
#endif

namespace usk::sys {
namespace {

// What a call keeps while it waits.
struct Sending {
  Ref<IpcNamespace> ns;
  Ref<MsgQueue> queue;
  Message message;
  USK_FIELDS(ns, queue, message)
  OrFailure<void> restored(state::Restored&) {
    if (!ns || !queue) return fail("a call that waits for nothing");
    return {};
  }
};
USK_SAVED(Sending, "syscalls/msg-sending")
struct Receiving {
  Ref<IpcNamespace> ns;
  Ref<MsgQueue> queue;
  Ref<MsgReceiver> receiver;
  ~Receiving() {
    if (receiver && ns) ns->msg.leave(*receiver);
  }
  USK_FIELDS(ns, queue, receiver)
  OrFailure<void> restored(state::Restored&) {
    if (!ns || !queue || !receiver) return fail("a call that waits for nothing");
    return {};
  }
};
USK_SAVED(Receiving, "syscalls/msg-receiving")

// A message buffer: its type, then its text.
constexpr uint64_t kTextAt = sizeof(int64_t);

Result<int64_t> copy_to_guest(Task& t, const Message& m, uint64_t addr, uint64_t size) {
  const size_t n = std::min<uint64_t>(m.text.size(), size);
  TRY(t.mem().put(UserPtr<int64_t>{addr}, m.type));
  TRY(t.mem().copy_out(addr + kTextAt, std::as_bytes(std::span(m.text).first(n))));
  return int64_t(n);
}

}  // namespace

SyscallResult msgget(Task& t, int32_t key, int32_t flags) {
  return TRY(ipc_namespace(t.ns)->msg.get(IpcCaller(t), key, flags));
}

// Linux: neither is restarted after a handler ran, whatever SA_RESTART says (signal(7)).
SyscallResult msgsnd(Task& t, int32_t id, uint64_t buf, uint64_t size, int32_t flags) {
  Sending& s = t.extra<Sending>();
  const IpcCaller who(t);
  if (!s.ns) {
    s.ns = ipc_namespace(t.ns);
    const int64_t type = TRY(t.mem().get(UserPtr<const int64_t>{buf}));
    if (size > uint64_t(s.ns->msg.limits().max) || id < 0 || type < 1) return Err(EINVAL);
    s.message = TRY(Message::make(type, size));
    TRY(t.mem().copy_in(std::as_writable_bytes(std::span(s.message.text)), buf + kTextAt));
    s.queue = TRY(s.ns->msg.find(who, id, 0222));
  }
  auto send = [&]() -> Result<int> {
    TRY(s.ns->msg.send(who, *s.queue, s.message));
    return 0;
  };
  return block_on(t, s.queue->senders, s.queue, POLLOUT, send, flags & IPC_NOWAIT, {},
                  OnSignal::kNoHand);
}

SyscallResult msgrcv(Task& t, int32_t id, uint64_t buf, uint64_t size, int64_t type,
                     int32_t flags) {
  if (id < 0 || int64_t(size) < 0) return Err(EINVAL);
  if ((flags & MSG_COPY) && (!(flags & IPC_NOWAIT) || (flags & MSG_EXCEPT))) return Err(EINVAL);
  Receiving& r = t.extra<Receiving>();
  const IpcCaller who(t);
  if (!r.ns) {
    r.ns = ipc_namespace(t.ns);
    r.queue = TRY(r.ns->msg.find(who, id, 0444));
    const MsgWish wish = MsgWish::make(type, size, flags);
    if (flags & IPC_NOWAIT) {
      return TRY(copy_to_guest(t, TRY(r.ns->msg.receive(who, *r.queue, wish)), buf, size));
    }
    r.receiver = make_ref<MsgReceiver>(wish, who.pid);
  }
  auto receive = [&]() -> Result<int64_t> {
    return copy_to_guest(t, TRY(r.ns->msg.receive_or_wait(who, r.queue, *r.receiver)), buf, size);
  };
  return block_on(t, r.receiver->done, r.receiver, POLLIN, receive, false, {}, OnSignal::kNoHand);
}

namespace {

SyscallResult msg_info_call(Task& t, MsgTable& table, int32_t command, uint64_t buf) {
  const MsgTable::Usage u = table.usage();
  const MsgLimits l = table.limits();
  constexpr int kDefaultBytes = 16384, kDefaultQueues = 32000, kSegment = 16;
  msginfo out = {};
  out.msgmni = l.queues;
  out.msgmax = l.max;
  out.msgmnb = l.max_bytes;
  out.msgssz = kSegment;
  out.msgseg = 0xffff;
  if (command == MSG_INFO) {
    out.msgpool = u.queues;
    out.msgmap = int(std::min<uint64_t>(u.messages, INT32_MAX));
    out.msgtql = int(std::min<uint64_t>(u.bytes, INT32_MAX));
  } else {
    out.msgpool = kDefaultQueues * (kDefaultBytes / 1024);
    out.msgmap = out.msgtql = kDefaultBytes;
  }
  TRY(t.mem().put(UserPtr<msginfo>{buf}, out));
  return u.highest_slot;
}

}  // namespace

SyscallResult msgctl(Task& t, int32_t id, int32_t command, uint64_t buf) {
  if (id < 0 || command < 0) return Err(EINVAL);
  const Ref<IpcNamespace> ns = ipc_namespace(t.ns);
  const IpcCaller who(t);
  switch (command) {
    case IPC_INFO:
    case MSG_INFO: return msg_info_call(t, ns->msg, command, buf);
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY: {
      const auto s =
          TRY(ns->msg.stat(who, t.pid_ns(), id, command != IPC_STAT, command != MSG_STAT_ANY));
      TRY(t.mem().put(UserPtr<msqid_ds>{buf}, s.data));
      return command == IPC_STAT ? 0 : s.id;
    }
    case IPC_SET:
      TRY(ns->msg.set(who, id, TRY(t.mem().get(UserPtr<const msqid_ds>{buf}))));
      return 0;
    case IPC_RMID: TRY(ns->msg.remove(who, id)); return 0;
    default: return Err(EINVAL);
  }
}

}  // namespace usk::sys
