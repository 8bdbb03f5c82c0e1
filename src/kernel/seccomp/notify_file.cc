#include "kernel/seccomp/notify_file.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "fs/vfs/saving.h"
#include "kernel/task/close.h"
#include "kernel/task/task.h"

namespace usk::seccomp {

USK_SAVED(NotifyFile, "kernel/seccomp/notify_file")
namespace {

constexpr uint32_t kReceive = SECCOMP_IOCTL_NOTIF_RECV, kSend = SECCOMP_IOCTL_NOTIF_SEND,
                   kIdValid = SECCOMP_IOCTL_NOTIF_ID_VALID,
                   kIdValidOld = SECCOMP_IOR(2, uint64_t),  // Its direction was wrong at first.
    kSetFlags = SECCOMP_IOW(4, uint64_t);
constexpr uint64_t kSyncWakeUp = 1;

// ADDFD may come with any size: its number without it.
constexpr uint32_t without_size(uint32_t cmd) {
  return cmd & ~uint32_t(_IOC_SIZEMASK << _IOC_SIZESHIFT | IOC_INOUT);
}

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte(0); });
}

}  // namespace

Result<int64_t> NotifyFile::receive(Caller& caller, uint64_t arg) {
  // Linux: for the structure to grow.
  std::array<std::byte, sizeof(seccomp_notif)> given;
  TRY(caller.copy_in(given, arg));
  if (!is_zero(given)) return Err(EINVAL);
  const seccomp_notif told = TRY(calls_->take(current_task()->pid_ns()));
  if (auto ok = caller.put(arg, told); !ok) {
    calls_->put_back(told.id);
    return std::unexpected(ok.error());
  }
  return 0;
}

Result<int64_t> NotifyFile::send(Caller& caller, uint64_t arg) {
  const auto reply = TRY(caller.get<seccomp_notif_resp>(arg));
  if (reply.flags & ~uint32_t(SECCOMP_USER_NOTIF_FLAG_CONTINUE)) return Err(EINVAL);
  if (reply.flags && (reply.error || reply.val)) return Err(EINVAL);
  TRY(calls_->reply(reply));
  return 0;
}

Result<int64_t> NotifyFile::add_fd(Caller& caller, uint64_t arg, size_t size) {
  if (size < sizeof(seccomp_notif_addfd) || size >= platform::kPageSize) return Err(EINVAL);
  std::vector<std::byte> bytes(size);
  TRY(caller.copy_in(bytes, arg));
  seccomp_notif_addfd q;
  memcpy(&q, bytes.data(), sizeof q);
  if (!is_zero(std::span(bytes).subspan(sizeof q))) return Err(E2BIG);
  if (q.newfd_flags & ~uint32_t(O_CLOEXEC)) return Err(EINVAL);
  if (q.flags & ~uint32_t(SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND)) return Err(EINVAL);
  if (q.newfd && !(q.flags & SECCOMP_ADDFD_FLAG_SETFD)) return Err(EINVAL);
  if (q.srcfd > INT32_MAX) return Err(EBADF);
  Ref<File> file = TRY(current_task()->fds->get(int(q.srcfd)));
  if (file->can(File::kPathOnly)) return Err(EBADF);
  NotifyQueue::AddedFd added = TRY(calls_->add_fd(q, std::move(file)));
  if (added.displaced) (void)close_file(*added.table, std::move(added.displaced));
  return added.fd;
}

Result<int64_t> NotifyFile::ioctl(Caller& caller, uint32_t cmd, uint64_t arg) {
  switch (cmd) {
    case kReceive: return receive(caller, arg);
    case kSend: return send(caller, arg);
    case kIdValid:
    case kIdValidOld:
      if (!calls_->is_valid(TRY(caller.get<uint64_t>(arg)))) return Err(ENOENT);
      return 0;
    case kSetFlags:
      if (arg & ~kSyncWakeUp) return Err(EINVAL);
      calls_->set_flags(uint32_t(arg));
      return 0;
    default: break;
  }
  if (without_size(cmd) == without_size(SECCOMP_IOCTL_NOTIF_ADDFD)) {
    return add_fd(caller, arg, _IOC_SIZE(cmd));
  }
  return Err(EINVAL);
}

}  // namespace usk::seccomp
