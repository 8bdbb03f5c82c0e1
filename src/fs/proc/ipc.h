// System V IPC in procfs: the sysctls of the reader's ipc namespace, and /proc/sysvipc.
#pragma once
#include "fs/proc/entry.h"

namespace usk::proc {

// Files of /proc/sys/kernel.
enum class IpcSysctl { kMsgMax, kMsgMnb, kMsgMni, kSem, kShmAll, kShmMax, kShmMni };
Result<std::string> ipc_sysctl(IpcSysctl which);
Result<void> set_ipc_sysctl(IpcSysctl which, std::string_view text);

template <IpcSysctl kWhich>
constexpr Entry ipc_sysctl_entry(std::string_view name) {
  return {.name = name,
          .mode = S_IFREG | 0644,
          .text = [](const Subject&) { return ipc_sysctl(kWhich); },
          .write = [](const Subject&, std::string_view s) { return set_ipc_sysctl(kWhich, s); }};
}

// /proc/sysvipc
std::span<const Entry> sysvipc_entries();
// /proc/sys/fs/mqueue
std::span<const Entry> mqueue_entries();

}  // namespace usk::proc
