// System V message queues: msgget(2), msgop(2), msgctl(2).
#pragma once
#include <sys/msg.h>

#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/budget.h"
#include "base/lock.h"
#include "base/wait.h"
#include "kernel/ipc/ipc.h"

namespace usk {

struct Message {
  int64_t type = 0;
  std::string text;
  Charge charge;
  USK_FIELDS(type, text, charge)

  // With so many zero bytes of text, charged for: ENOMEM.
  static Result<Message> make(int64_t type, size_t size);
};

class MsgReceiver;

class MsgQueue final : public IpcObject {
 public:
  std::list<Message> messages;
  uint64_t bytes = 0, max_bytes = 0;
  int64_t sent_at = 0, received_at = 0, changed_at = 0;
  PidStamp last_sender, last_receiver;
  std::list<MsgReceiver*> receivers;  // Waiting, in order of arrival.
  WaitQueue senders;                  // Woken when messages went.
  USK_FIELDS_OF(IpcObject, messages, bytes, max_bytes, sent_at, received_at, changed_at,
                last_sender, last_receiver, receivers)
  OrFailure<void> restored(state::Restored&);
};

// What msgrcv(2) asks for.
struct MsgWish {
  enum class Which { kAny, kEqual, kNotEqual, kLessOrEqual, kNumber } which = Which::kAny;
  int64_t type = 0;
  size_t max = 0;
  bool truncates = false;  // MSG_NOERROR
  bool copies = false;     // MSG_COPY
  friend constexpr Which saved_max(Which) { return Which::kNumber; }
  USK_FIELDS(which, type, max, truncates, copies)
  static MsgWish make(int64_t type, size_t max, int flags);
  bool matches(const Message& m) const;
};

// A place in a queue's line of receivers, which ends with a message or an error.
class MsgReceiver final : public RefCounted {
 public:
  MsgReceiver(MsgWish w, PidStamp p) : wish(w), pid(std::move(p)) {}
  explicit MsgReceiver(Blank) {}
  MsgWish wish;
  PidStamp pid;
  Ref<MsgQueue> queue;  // Null: not in line.
  std::optional<Result<Message>> outcome;
  WaitQueue done;
  USK_FIELDS(wish, pid, queue, outcome)
};

struct MsgLimits {
  int max = 8192, max_bytes = 16384, queues = 32000;  // msgmax, msgmnb, msgmni
  USK_FIELDS(max, max_bytes, queues)
};

// The queues of a namespace.
class MsgTable {
 public:
  explicit MsgTable(Ref<UserNamespace> owner) : owner_(std::move(owner)) {}
  explicit MsgTable(Blank) {}

  Result<int> get(const IpcCaller& who, key_t key, int flags) EXCLUDES(mu_);
  // The queue, if the caller may use it so. EINVAL, EACCES.
  Result<Ref<MsgQueue>> find(const IpcCaller& who, int id, uint32_t access) EXCLUDES(mu_);
  // EAGAIN: the queue is full; wait for `senders`. Takes `message` when it succeeds. EIDRM.
  Result<void> send(const IpcCaller& who, MsgQueue& queue, Message& message) EXCLUDES(mu_);
  // ENOMSG: there is none. E2BIG.
  Result<Message> receive(const IpcCaller& who, MsgQueue& queue, const MsgWish& wish) EXCLUDES(mu_);
  // receive(), or gets in line. EAGAIN while the receiver waits.
  Result<Message> receive_or_wait(const IpcCaller& who, const Ref<MsgQueue>& queue,
                                  MsgReceiver& receiver) EXCLUDES(mu_);
  void leave(MsgReceiver& receiver) EXCLUDES(mu_);

  // msgctl(2)
  Result<void> remove(const IpcCaller& who, int id) EXCLUDES(mu_);
  Result<void> set(const IpcCaller& who, int id, const msqid_ds& to) EXCLUDES(mu_);
  struct Status {
    msqid_ds data;
    int id;
  };
  // `by_slot`: MSG_STAT; without `checked`: MSG_STAT_ANY.
  Result<Status> stat(const IpcCaller& who, const PidNamespace& pids, int id, bool by_slot,
                      bool checked) EXCLUDES(mu_);
  struct Usage {
    int queues = 0, highest_slot = 0;
    uint64_t messages = 0, bytes = 0;
  };
  Usage usage() EXCLUDES(mu_);
  std::vector<Ref<MsgQueue>> all() EXCLUDES(mu_);
  // One line of /proc/sysvipc/msg.
  std::string line(const MsgQueue& queue, const Creds& viewer, const PidNamespace& pids)
      EXCLUDES(mu_);

  MsgLimits limits() EXCLUDES(mu_);
  void set_limits(const MsgLimits& limits) EXCLUDES(mu_);

  USK_FIELDS(owner_, queues_, limits_)
  OrFailure<void> restore() EXCLUDES(mu_);  // After a load.

 private:
  bool hand_over(MsgQueue& queue, Message& message) REQUIRES(mu_);
  Result<Message> receive_locked(const PidStamp& by, MsgQueue& queue, const MsgWish& wish)
      REQUIRES(mu_);

  Ref<UserNamespace> owner_;
  Mutex<Rank::kIpc> mu_;
  IpcIds<MsgQueue> queues_ GUARDED_BY(mu_);
  MsgLimits limits_ GUARDED_BY(mu_);
};

}  // namespace usk
