// /proc/sys/fs/mqueue: mq_overview(7).
#include <fmt/format.h>

#include <charconv>

#include "fs/proc/ipc.h"
#include "kernel/ipc/ipc_namespace.h"

namespace usk::proc {
namespace {

Result<Ref<MqueueFs>> reader_fs() {
  const Task* t = current_task();
  if (!t || !t->ns.ipc) return Err(ESRCH);
  return Ref<MqueueFs>::share(static_cast<MqueueFs*>(&ipc_namespace(t->ns)->mqueue()->fs()));
}

template <int MqSysctls::* kMember>
Result<std::string> text_of(const Subject&) {
  return fmt::format("{}\n", TRY(reader_fs())->sysctls().*kMember);
}

template <int MqSysctls::* kMember, int kLeast, int kMost>
Result<void> set(const Subject&, std::string_view text) {
  const Ref<MqueueFs> fs = TRY(reader_fs());
  text = text.substr(0, text.find('\n'));
  int value = 0;
  const auto [end, error] = std::from_chars(text.begin(), text.end(), value);
  if (error != std::errc() || end != text.end()) return Err(EINVAL);
  if (value < kLeast || value > kMost) return Err(EINVAL);
  MqSysctls s = fs->sysctls();
  s.*kMember = value;
  fs->set_sysctls(s);
  return {};
}

template <int MqSysctls::* kMember, int kLeast, int kMost>
constexpr Entry entry(std::string_view name) {
  return {.name = name,
          .mode = S_IFREG | 0644,
          .text = text_of<kMember>,
          .write = set<kMember, kLeast, kMost>};
}

constexpr int kMessages = 65536, kSize = 16 << 20;
constexpr Entry kMqueue[] = {
    entry<&MqSysctls::msg_default, 1, kMessages>("msg_default"),
    entry<&MqSysctls::msg_max, 1, kMessages>("msg_max"),
    entry<&MqSysctls::msgsize_default, 128, kSize>("msgsize_default"),
    entry<&MqSysctls::msgsize_max, 128, kSize>("msgsize_max"),
    entry<&MqSysctls::queues_max, 0, kMessages>("queues_max"),
};

}  // namespace

static const NamedTable kMqueueTable("mqueue", kMqueue);

std::span<const Entry> mqueue_entries() { return kMqueue; }

}  // namespace usk::proc
