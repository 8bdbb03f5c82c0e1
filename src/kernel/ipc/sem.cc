#include "kernel/ipc/sem.h"

#include <poll.h>

#include <algorithm>

namespace usk {

Result<void> SemArray::recharge(size_t count, size_t undo_lists) {
  const size_t each = sizeof(SemArray) + count * sizeof(Semaphore);
  if (!charge.set(each + undo_lists * (64 + count * sizeof(int)))) return Err(ENOMEM);
  return {};
}

bool SemWaiter::alters() const {
  return std::any_of(ops.begin(), ops.end(), [](const sembuf& op) { return op.sem_op != 0; });
}

Result<int> SemTable::get(const IpcCaller& who, key_t key, int count, int flags) {
  Lock lock(mu_);
  if (count < 0 || count > limits_.per_set) return Err(EINVAL);
  auto check = [&](SemArray& a) -> Result<void> {
    if (size_t(count) > a.semaphores.size()) return Err(EINVAL);
    return {};
  };
  auto make = [&]() NO_THREAD_SAFETY_ANALYSIS -> Result<Ref<SemArray>> {
    if (count == 0) return Err(EINVAL);
    if (total_ + count > limits_.total) return Err(ENOSPC);
    auto a = make_ref<SemArray>();
    TRY(a->recharge(size_t(count), 0));
    a->semaphores.resize(size_t(count));
    a->changed_at = ipc_now();
    return a;
  };
  const size_t before = sets_.size();
  const int id =
      TRY(ipc_get(sets_, key, flags, size_t(limits_.sets), *who.creds, *owner_, check, make));
  if (sets_.size() > before) total_ += count;
  return id;
}

Result<bool> SemTable::perform(SemArray& a, SemWaiter& w) {
  std::vector<int>* undo = w.undo ? &a.undo.at(w.undo) : nullptr;
  size_t done = 0;
  Result<bool> result = true;
  for (; done < w.ops.size(); done++) {
    const sembuf& op = w.ops[done];
    int& value = a.semaphores[op.sem_num].value;
    if ((op.sem_op == 0 && value != 0) || value + op.sem_op < 0) {
      w.blocking = done;
      result = false;
      if (op.sem_flg & IPC_NOWAIT) result = Err(EAGAIN);
      break;
    }
    if (value + op.sem_op > kMaxValue) {
      result = Err(ERANGE);
      break;
    }
    if (op.sem_flg & SEM_UNDO) {
      const int back = (*undo)[op.sem_num] - op.sem_op;
      if (back < -kMaxValue - 1 || back > kMaxValue) {
        result = Err(ERANGE);
        break;
      }
      (*undo)[op.sem_num] = back;
    }
    value += op.sem_op;
  }
  if (!result || !*result) {
    while (done-- > 0) {
      const sembuf& op = w.ops[done];
      a.semaphores[op.sem_num].value -= op.sem_op;
      if (op.sem_flg & SEM_UNDO) (*undo)[op.sem_num] += op.sem_op;
    }
    return result;
  }
  for (const sembuf& op : w.ops) a.semaphores[op.sem_num].changed_by = w.pid;
  a.operated_at = ipc_now();
  return true;
}

// Performs what can be performed now of the waiting calls of one kind. True: some values changed.
bool SemTable::settle_once(SemArray& a, bool altering) {
  for (auto it = a.waiting.begin(); it != a.waiting.end();) {
    SemWaiter& w = **it;
    if (w.alters() != altering) {
      ++it;
      continue;
    }
    const Result<bool> r = perform(a, w);
    if (r && !*r) {
      ++it;
      continue;
    }
    it = a.waiting.erase(it);
    w.outcome = r ? Result<void>() : std::unexpected(r.error());
    w.done.wake(POLLIN);
    if (r && altering) return true;  // Those before it may go now.
  }
  return false;
}

// Linux: those that wait for zero first, then the others in order of arrival, until no more can go.
void SemTable::settle(SemArray& a) {
  do {
    settle_once(a, false);
  } while (settle_once(a, true));
}

Result<void> SemTable::check_ops(const IpcCaller& who, SemArray& a, const SemWaiter& w) {
  for (const sembuf& op : w.ops) {
    if (op.sem_num >= a.semaphores.size()) return Err(EFBIG);
  }
  return may_use(a.perm, w.alters() ? 0222 : 0444, *who.creds, *owner_);
}

Result<void> SemTable::operate(const IpcCaller& who, int id, const Ref<SemWaiter>& w) {
  Lock lock(mu_);
  SemArray& a = *TRY(sets_.get(id));
  TRY(check_ops(who, a, *w));
  if (w->undo && !a.undo.count(w->undo)) {
    TRY(a.recharge(a.semaphores.size(), a.undo.size() + 1));
    a.undo.emplace(w->undo, std::vector<int>(a.semaphores.size()));
  }
  if (TRY(perform(a, *w))) {
    if (w->alters()) settle(a);
    return {};
  }
  w->array = Ref<SemArray>::share(&a);
  a.waiting.push_back(w.get());
  return Err(EAGAIN);
}

Result<void> SemTable::outcome(SemWaiter& w) {
  Lock lock(mu_);
  return w.outcome.value_or(Err(EAGAIN));
}

void SemTable::leave(SemWaiter& w) {
  Lock lock(mu_);
  if (w.array) w.array->waiting.remove(&w);
}

void SemTable::apply_undo(uint64_t list, const PidStamp& by) {
  Lock lock(mu_);
  for (auto& [slot, a] : sets_.all()) {
    auto it = a->undo.find(list);
    if (it == a->undo.end()) continue;
    for (size_t i = 0; i < a->semaphores.size(); i++) {
      if (it->second[i] == 0) continue;
      // Linux: what cannot be given back in full is given back as far as it goes.
      SemArray::Semaphore& s = a->semaphores[i];
      s.value = std::clamp(s.value + it->second[i], 0, kMaxValue);
      s.changed_by = by;
    }
    a->undo.erase(it);
    CHECK(a->recharge(a->semaphores.size(), a->undo.size()));  // Less than before.
    a->operated_at = ipc_now();
    settle(*a);
  }
}

Result<void> SemTable::remove(const IpcCaller& who, int id) {
  Ref<SemArray> held;
  Lock lock(mu_);
  SemArray& a = *TRY(sets_.get(id));
  TRY(may_control(a.perm, *who.creds, *owner_));
  held = sets_.remove(a);
  total_ -= int64_t(a.semaphores.size());
  for (SemWaiter* w : std::exchange(a.waiting, {})) {
    w->outcome = Err(EIDRM);
    w->done.wake(POLLIN);
  }
  return {};
}

Result<void> SemTable::set(const IpcCaller& who, int id, const semid_ds& to) {
  Lock lock(mu_);
  SemArray& a = *TRY(sets_.get(id));
  TRY(may_control(a.perm, *who.creds, *owner_));
  TRY(change_perm(a.perm, to.sem_perm, *who.creds));
  a.changed_at = ipc_now();
  return {};
}

Result<void> SemTable::set_value(const IpcCaller& who, int id, int number, int value) {
  if (value < 0 || value > kMaxValue) return Err(ERANGE);
  Lock lock(mu_);
  SemArray& a = *TRY(sets_.get(id));
  if (number < 0 || size_t(number) >= a.semaphores.size()) return Err(EINVAL);
  TRY(may_use(a.perm, 0222, *who.creds, *owner_));
  for (auto& [list, back] : a.undo) back[size_t(number)] = 0;
  a.semaphores[size_t(number)] = {value, who.pid};
  a.changed_at = ipc_now();
  settle(a);
  return {};
}

Result<void> SemTable::set_values(const IpcCaller& who, int id,
                                  const std::vector<uint16_t>& values) {
  Lock lock(mu_);
  SemArray& a = *TRY(sets_.get(id));
  TRY(may_use(a.perm, 0222, *who.creds, *owner_));
  if (values.size() != a.semaphores.size()) return Err(EIDRM);  // Another set took its place.
  for (uint16_t v : values) {
    if (v > kMaxValue) return Err(ERANGE);
  }
  for (size_t i = 0; i < values.size(); i++) a.semaphores[i] = {values[i], who.pid};
  for (auto& [list, back] : a.undo) std::fill(back.begin(), back.end(), 0);
  a.changed_at = ipc_now();
  settle(a);
  return {};
}

}  // namespace usk
