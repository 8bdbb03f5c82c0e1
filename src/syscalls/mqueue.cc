// mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2).
#include "kernel/mqueue/mqueue.h"

#include "base/saturate.h"
#include "fs/vfs/socket.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "kernel/wait/block_on.h"
#include "state/saved.h"
#include "syscalls/syscalls.h"
#include "syscalls/time_args.h"

namespace usk::sys {
namespace {

constexpr uint32_t kPriorities = 32768;  // MQ_PRIO_MAX

Result<Ref<MqueueFile>> mqueue_file(Task& t, Fd fd, uint32_t mode) {
  auto file = ref_cast<MqueueFile>(TRY(t.file(fd.n)));
  if (!file || !file->can(mode)) return Err(EBADF);
  return file;
}

// An absolute CLOCK_REALTIME time, as a deadline of the call.
Result<void> set_deadline(Task& t, UserPtr<const KernelTimespec> until) {
  if (!t.frame.first) return {};
  if (!until) {
    t.deadline(std::nullopt);
    return {};
  }
  const int64_t ns = TRY(to_ns(TRY(t.mem().get(until))));
  t.deadline(std::max<int64_t>(0, saturating_subtract(ns, t.kernel.time.now(CLOCK_REALTIME))));
  return {};
}

// A wait that ends by its deadline fails with ETIMEDOUT.
SyscallResult after_wait(Task& t, const File& file, SyscallResult r) {
  if (failed_with(r, EAGAIN) && !file.nonblocking() && t.timed_out()) return Err(ETIMEDOUT);
  return r;
}

// What a call keeps while it waits; made anew when it was restored.
struct Sending {
  bool begun = false;
  MqMessage message;
  USK_FIELDS(begun, message)
};
USK_SAVED(Sending, "syscalls/mqueue-sending")
struct Receiving {
  Ref<MqueueFile> file;
  Ref<MqReceiver> receiver;
  ~Receiving() {
    if (receiver && file) file->mqueue().leave(*receiver);
  }
  USK_FIELDS(file, receiver)
  OrFailure<void> restored(state::Restored&) {
    if (receiver && !file) return fail("a call that waits for nothing");
    return {};
  }
};
USK_SAVED(Receiving, "syscalls/mqueue-receiving")

}  // namespace

SyscallResult mq_open(Task& t, UserPath name, OpenFlags flags, ModeBits mode,
                      UserPtr<const mq_attr> attr) {
  MqOpen how{.flags = int(flags.bits), .mode = mode.bits};
  if (attr && flags.has(O_CREAT)) {
    const mq_attr a = TRY(t.mem().get(attr));
    how.limits = MqLimits{uint64_t(a.mq_maxmsg), uint64_t(a.mq_msgsize)};
  }
  how.name = TRY(t.mem().get_path(name));
  if ((flags.bits & O_ACCMODE) == O_ACCMODE) return Err(EINVAL);
  Ref<File> file = TRY(open_mqueue(t.walk_context(), ipc_namespace(t.ns)->mqueue(), how));
  return TRY(t.add_fd(std::move(file), /*cloexec=*/true));
}

SyscallResult mq_unlink(Task& t, UserPath name) {
  const std::string path = TRY(t.mem().get_path(name));
  TRY(unlink_mqueue(t.walk_context(), ipc_namespace(t.ns)->mqueue(), path));
  return 0;
}

SyscallResult mq_timedsend(Task& t, Fd fd, UserIn text, uint32_t priority,
                           UserPtr<const KernelTimespec> until) {
  if (priority >= kPriorities) return Err(EINVAL);
  TRY(set_deadline(t, until));
  Ref<MqueueFile> file = TRY(mqueue_file(t, fd, File::kWrite));
  MqueueInode& queue = file->mqueue();
  if (text.len > queue.limits().size) return Err(EMSGSIZE);
  Sending& s = t.extra<Sending>();
  MqMessage& m = s.message;
  if (!s.begun) {
    s.begun = true;
    if (!m.charge.set(sizeof m + text.len)) return Err(ENOMEM);
    m.priority = priority;
    m.text.resize(text.len);
    TRY(t.mem().copy_in(std::as_writable_bytes(std::span(m.text)), text.addr));
  }
  auto send = [&]() -> Result<int> {
    TRY(queue.send(t, m));
    return 0;
  };
  return after_wait(t, *file,
                    block_on(t, *file, POLLOUT, send, file->nonblocking(), *t.frame.deadline));
}

SyscallResult mq_timedreceive(Task& t, Fd fd, UserOut text, UserPtr<uint32_t> priority,
                              UserPtr<const KernelTimespec> until) {
  TRY(set_deadline(t, until));
  Receiving& r = t.extra<Receiving>();
  if (!r.file) {
    r.file = TRY(mqueue_file(t, fd, File::kRead));
    if (text.len < r.file->mqueue().limits().size) return Err(EMSGSIZE);
    if (!r.file->nonblocking()) r.receiver = make_ref<MqReceiver>();
  }
  auto receive = [&]() -> Result<size_t> {
    const MqMessage m = TRY(r.file->mqueue().receive(r.receiver.get()));
    if (priority) TRY(t.mem().put(priority, m.priority));
    TRY(t.mem().copy_out(text.addr, std::as_bytes(std::span(m.text))));
    return m.text.size();
  };
  if (!r.receiver) return TRY(receive());
  return after_wait(
      t, *r.file,
      block_on(t, r.receiver->done, r.receiver, POLLIN, receive, false, *t.frame.deadline));
}

SyscallResult mq_notify(Task& t, Fd fd, UserPtr<const sigevent> event) {
  std::optional<MqNotify> notify;
  if (event) {
    const sigevent e = TRY(t.mem().get(event));
    if (e.sigev_notify != SIGEV_NONE && e.sigev_notify != SIGEV_SIGNAL &&
        e.sigev_notify != SIGEV_THREAD) {
      return Err(EINVAL);
    }
    if (e.sigev_notify == SIGEV_SIGNAL && (e.sigev_signo < 0 || e.sigev_signo > kSignals)) {
      return Err(EINVAL);
    }
    // Linux takes a netlink socket for this, which cannot be made here.
    if (e.sigev_notify == SIGEV_THREAD) {
      auto file = TRY(t.file(e.sigev_signo));
      return Err(dynamic_cast<Socket*>(file.get()) ? EINVAL : ENOTSOCK);
    }
    notify = MqNotify{.kind = e.sigev_notify,
                      .signal = e.sigev_signo,
                      .value = reinterpret_cast<uint64_t>(e.sigev_value.sival_ptr)};
  }
  TRY(TRY(mqueue_file(t, fd, 0))->mqueue().set_notify(t, notify));
  return 0;
}

SyscallResult mq_getsetattr(Task& t, Fd fd, UserPtr<const mq_attr> to, UserPtr<mq_attr> old) {
  std::optional<mq_attr> wanted;
  if (to) {
    wanted = TRY(t.mem().get(to));
    if (wanted->mq_flags & ~long(O_NONBLOCK)) return Err(EINVAL);
  }
  Ref<MqueueFile> file = TRY(mqueue_file(t, fd, 0));
  MqueueInode& queue = file->mqueue();
  mq_attr was = {};
  was.mq_flags = file->flags() & O_NONBLOCK;
  was.mq_maxmsg = long(queue.limits().messages);
  was.mq_msgsize = long(queue.limits().size);
  was.mq_curmsgs = long(queue.count());
  if (wanted) TRY(file->set_flags((file->flags() & ~O_NONBLOCK) | int(wanted->mq_flags)));
  if (old) TRY(t.mem().put(old, was));
  return 0;
}

}  // namespace usk::sys
