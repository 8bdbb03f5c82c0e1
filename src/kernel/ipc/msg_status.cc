// What msgctl(2) and /proc/sysvipc/msg tell of queues.
#include <fmt/format.h>

#include "kernel/ipc/msg.h"

namespace usk {

Result<MsgTable::Status> MsgTable::stat(const IpcCaller& who, const PidNamespace& pids, int id,
                                        bool by_slot, bool checked) {
  Lock lock(mu_);
  const MsgQueue& q = *TRY(by_slot ? queues_.get_slot(id) : queues_.get(id));
  if (checked) TRY(may_use(q.perm, 0444, *who.creds, *owner_));
  Status s = {};
  s.id = q.perm.id;
  s.data.msg_perm = shown_perm(q.perm, *who.creds);
  s.data.msg_stime = q.sent_at;
  s.data.msg_rtime = q.received_at;
  s.data.msg_ctime = q.changed_at;
  s.data.__msg_cbytes = q.bytes;
  s.data.msg_qnum = q.messages.size();
  s.data.msg_qbytes = q.max_bytes;
  s.data.msg_lspid = q.last_sender.nr_in(pids);
  s.data.msg_lrpid = q.last_receiver.nr_in(pids);
  return s;
}

MsgTable::Usage MsgTable::usage() {
  Lock lock(mu_);
  Usage u{.queues = int(queues_.size()), .highest_slot = queues_.highest_slot()};
  for (auto& [slot, q] : queues_.all()) u.messages += q->messages.size(), u.bytes += q->bytes;
  return u;
}

std::vector<Ref<MsgQueue>> MsgTable::all() {
  Lock lock(mu_);
  std::vector<Ref<MsgQueue>> out;
  for (auto& [slot, q] : queues_.all()) out.push_back(q);
  return out;
}

std::string MsgTable::line(const MsgQueue& q, const Creds& viewer, const PidNamespace& pids) {
  Lock lock(mu_);
  const UserNamespace& ids = *viewer.user_ns;
  return fmt::format(
      "{:10} {:10}  {:4o}  {:10} {:10} {:5} {:5} {:5} {:5} {:5} {:5} {:10} {:10} {:10}\n",
      q.perm.key, q.perm.id, q.perm.mode, q.bytes, q.messages.size(), q.last_sender.nr_in(pids),
      q.last_receiver.nr_in(pids), ids.uid_out(q.perm.uid), ids.gid_out(q.perm.gid),
      ids.uid_out(q.perm.cuid), ids.gid_out(q.perm.cgid), q.sent_at, q.received_at, q.changed_at);
}

MsgLimits MsgTable::limits() {
  Lock lock(mu_);
  return limits_;
}

void MsgTable::set_limits(const MsgLimits& limits) {
  Lock lock(mu_);
  limits_ = limits;
}

}  // namespace usk
