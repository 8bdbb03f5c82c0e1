// POSIX message queues and their file system: mq_overview(7).
#pragma once
#include <signal.h>

#include <deque>
#include <list>
#include <map>
#include <optional>

#include "base/budget.h"
#include "base/wait.h"
#include "fs/mem/mem_dir.h"
#include "kernel/task/pid.h"

namespace usk {

class Task;
class Mount;

struct MqMessage {
  uint32_t priority = 0;
  std::string text;
  Charge charge;
  USK_FIELDS(priority, text, charge)
};

// A place in a queue's line of receivers, which ends with a message.
class MqReceiver final : public RefCounted {
 public:
  std::optional<MqMessage> message;
  bool in_line = false;
  WaitQueue done;
  USK_FIELDS(message, in_line)
};

// What mq_notify(2) registers: whom to tell once of a message in an empty queue.
struct MqNotify {
  int process = 0;  // Its number in the initial pid namespace, and the serial of its Pid.
  uint64_t serial = 0;
  int kind = SIGEV_NONE, signal = 0;
  uint64_t value = 0;
  USK_FIELDS(process, serial, kind, signal, value)
};

struct MqLimits {
  uint64_t messages = 0, size = 0;
  USK_FIELDS(messages, size)
};

class MqueueInode final : public MemInode {
 public:
  MqueueInode(Ref<MemFs> fs, Ino ino, const NodeInit& init, MqLimits limits, uint64_t room);
  explicit MqueueInode(Blank b) : MemInode(b), room_(0) {}
  ~MqueueInode() override;
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override;

  const MqLimits& limits() const { return limits_; }
  WaitQueue& queue() { return queue_; }
  PollMask poll() EXCLUDES(mu_);
  uint64_t count() EXCLUDES(mu_);
  // EAGAIN: it is full. Takes the message when it succeeds.
  Result<void> send(Task& sender, MqMessage& message) EXCLUDES(mu_);
  // Of the highest priority, the oldest. EAGAIN: none; with `line`, it waits there from now on.
  Result<MqMessage> receive(MqReceiver* line) EXCLUDES(mu_);
  void leave(MqReceiver& receiver) EXCLUDES(mu_);
  // EBUSY: another is registered. Nothing: removes the caller's own.
  Result<void> set_notify(Task& by, std::optional<MqNotify> notify) EXCLUDES(mu_);
  // The text of the file.
  std::string describe(const PidNamespace& reader) EXCLUDES(mu_);

  USK_FIELDS_OF(MemInode, limits_, room_, messages_, bytes_, count_, line_, notify_)
  OrFailure<void> restored(state::Restored& r) EXCLUDES(mu_);

 protected:
  void fill_size(Attr& attr) override REQUIRES(mu_) { attr.size = 80; }

 private:
  void tell(Task& sender) REQUIRES(mu_);

  MqLimits limits_;
  uint64_t room_;  // Counted for its maker.
  std::map<uint32_t, std::deque<MqMessage>, std::greater<>> messages_ GUARDED_BY(mu_);
  uint64_t bytes_ GUARDED_BY(mu_) = 0, count_ GUARDED_BY(mu_) = 0;
  std::list<MqReceiver*> line_ GUARDED_BY(mu_);  // Who waits, in order of arrival.
  std::optional<MqNotify> notify_ GUARDED_BY(mu_);
  WaitQueue queue_;
};

class MqueueFile final : public File {
 public:
  MqueueFile(Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread | kCanPoll, std::move(creds)) {}
  explicit MqueueFile(Blank b) : File(b) {}
  USK_FIELDS_OF(File)
  OrFailure<void> restored(state::Restored& r);
  MqueueInode& mqueue() const { return static_cast<MqueueInode&>(inode()); }
  Result<size_t> read(IoOut& dst, uint64_t& pos) override;
  PollMask poll() override { return mqueue().poll(); }
  WaitQueue& queue() override { return mqueue().queue(); }
  // Closing a descriptor ends the closer's registration.
  Result<void> flush() override;
};

// /proc/sys/fs/mqueue
struct MqSysctls {
  int queues_max = 256, msg_max = 10, msgsize_max = 8192, msg_default = 10, msgsize_default = 8192;
  USK_FIELDS(queues_max, msg_max, msgsize_max, msg_default, msgsize_default)
};

class MqueueFs final : public MemFs {
 public:
  explicit MqueueFs(Ref<UserNamespace> owner);
  explicit MqueueFs(Blank b) : MemFs(b) {}
  // A queue, with the limits that were asked for; only regular files can be made.
  Result<Ref<MemInode>> make_node(NodeInit init) override;
  // For the next queue that is made; called, as that is, under the root's lock.
  void ask(std::optional<MqLimits> limits) { asked_ = limits; }
  MqSysctls sysctls() EXCLUDES(mu_);
  void set_sysctls(const MqSysctls& s) EXCLUDES(mu_);
  USK_FIELDS_OF(MemFs, owner_, sysctls_)

 private:
  Result<MqLimits> choose_limits(const Creds& creds) EXCLUDES(mu_);

  Ref<UserNamespace> owner_;
  std::optional<MqLimits> asked_;
  Mutex<Rank::kLeaf> mu_;
  MqSysctls sysctls_ GUARDED_BY(mu_);
};

// The instance of an ipc namespace, as a mount that nobody sees.
Ref<Mount> make_mqueue_mount(Ref<UserNamespace> owner);

// mq_open(2), mq_unlink(2); `mount` is the caller's namespace's.
struct MqOpen {
  std::string name;
  int flags = 0;
  uint32_t mode = 0;
  std::optional<MqLimits> limits;
};
Result<Ref<File>> open_mqueue(const WalkContext& ctx, const Ref<Mount>& mount, const MqOpen& how);
Result<void> unlink_mqueue(const WalkContext& ctx, const Ref<Mount>& mount,
                           const std::string& name);

}  // namespace usk
