#include "fs/proc/ipc.h"

#include <fmt/format.h>

#include <charconv>

#include "kernel/ipc/ipc_namespace.h"

namespace usk::proc {
namespace {

constexpr uint32_t kFile = S_IFREG | 0444;

Result<Ref<IpcNamespace>> reader_ns() {
  const Task* t = current_task();
  if (!t || !t->ns.ipc) return Err(ESRCH);
  return ipc_namespace(t->ns);
}

// `count` numbers between blanks, as Linux takes them: what is missing keeps its value.
Result<std::vector<uint64_t>> numbers(std::string_view text, std::vector<uint64_t> values) {
  constexpr std::string_view kBlanks(" \t\n\0", 4);
  for (size_t i = 0;; i++) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) {
      if (i == 0) return Err(EINVAL);
      return values;
    }
    if (i == values.size()) return values;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), values[i]);
    if (error != std::errc()) return Err(EINVAL);
    text.remove_prefix(size_t(end - text.begin()));
    if (!text.empty() && !kBlanks.contains(text.front())) return Err(EINVAL);
  }
}

Result<uint64_t> number(std::string_view text, uint64_t most) {
  const uint64_t v = TRY(numbers(text, {0}))[0];
  if (v > most) return Err(EINVAL);
  return v;
}

// Unlike Linux: sets and operations of a call are no more than can be addressed.
Result<void> set_sem(SemTable& table, std::string_view text) {
  const SemLimits l = table.limits();
  const auto v = TRY(
      numbers(text, {uint64_t(l.per_set), uint64_t(l.total), uint64_t(l.ops), uint64_t(l.sets)}));
  if (v[0] > 65536 || v[1] > INT32_MAX || v[2] > 65536) return Err(EINVAL);
  if (v[3] > IpcIds<SemArray>::kSlots) return Err(ERANGE);
  table.set_limits({int(v[0]), int(v[1]), int(v[2]), int(v[3])});
  return {};
}

Result<std::string> shm_text(const Subject& s) {
  const Ref<IpcNamespace> ns = TRY(reader_ns());
  std::string out =
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  "
      "cgid      atime      dtime      ctime                   rss                  swap\n";
  for (auto& one : ns->shm.all()) out += ns->shm.line(*one, *current_task()->creds, s.ns());
  return out;
}

Result<std::string> sem_text(const Subject&) {
  const Ref<IpcNamespace> ns = TRY(reader_ns());
  std::string out =
      "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
  for (auto& one : ns->sem.all()) out += ns->sem.line(*one, *current_task()->creds);
  return out;
}

Result<std::string> msg_text(const Subject& s) {
  const Ref<IpcNamespace> ns = TRY(reader_ns());
  std::string out =
      "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      "
      "stime      rtime      ctime\n";
  for (auto& one : ns->msg.all()) out += ns->msg.line(*one, *current_task()->creds, s.ns());
  return out;
}

constexpr Entry kSysvipc[] = {
    {.name = "msg", .mode = kFile, .text = msg_text},
    {.name = "sem", .mode = kFile, .text = sem_text},
    {.name = "shm", .mode = kFile, .text = shm_text},
};

}  // namespace

Result<std::string> ipc_sysctl(IpcSysctl which) {
  const Ref<IpcNamespace> ns = TRY(reader_ns());
  const MsgLimits msg = ns->msg.limits();
  const SemLimits sem = ns->sem.limits();
  const ShmLimits shm = ns->shm.limits();
  switch (which) {
    case IpcSysctl::kMsgMax: return fmt::format("{}\n", msg.max);
    case IpcSysctl::kMsgMnb: return fmt::format("{}\n", msg.max_bytes);
    case IpcSysctl::kMsgMni: return fmt::format("{}\n", msg.queues);
    case IpcSysctl::kSem:
      return fmt::format("{}\t{}\t{}\t{}\n", sem.per_set, sem.total, sem.ops, sem.sets);
    case IpcSysctl::kShmAll: return fmt::format("{}\n", shm.total_pages);
    case IpcSysctl::kShmMax: return fmt::format("{}\n", shm.max);
    case IpcSysctl::kShmMni: return fmt::format("{}\n", shm.segments);
  }
  return Err(EINVAL);
}

Result<void> set_ipc_sysctl(IpcSysctl which, std::string_view text) {
  const Ref<IpcNamespace> ns = TRY(reader_ns());
  constexpr uint64_t kSlots = 32768;
  MsgLimits msg = ns->msg.limits();
  ShmLimits shm = ns->shm.limits();
  switch (which) {
    case IpcSysctl::kMsgMax: msg.max = int(TRY(number(text, INT32_MAX))); break;
    case IpcSysctl::kMsgMnb: msg.max_bytes = int(TRY(number(text, INT32_MAX))); break;
    case IpcSysctl::kMsgMni: msg.queues = int(TRY(number(text, kSlots))); break;
    case IpcSysctl::kSem: return set_sem(ns->sem, text);
    case IpcSysctl::kShmAll: shm.total_pages = TRY(number(text, UINT64_MAX)); break;
    case IpcSysctl::kShmMax: shm.max = TRY(number(text, UINT64_MAX)); break;
    case IpcSysctl::kShmMni: shm.segments = int(TRY(number(text, kSlots))); break;
  }
  ns->msg.set_limits(msg);
  ns->shm.set_limits(shm);
  return {};
}

static const NamedTable kSysvipcTable("sysvipc", kSysvipc);

std::span<const Entry> sysvipc_entries() { return kSysvipc; }

}  // namespace usk::proc
