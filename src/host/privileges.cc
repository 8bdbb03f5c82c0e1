#include "host/privileges.h"

#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>

#include "host/call.h"

namespace usk::host {
namespace {

struct Sets {
  __user_cap_data_struct words[2];
};

Result<void> get(Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (guarded(SYS_capget, &header, &sets) != 0) return Err(errno);
  return {};
}

Result<void> set(const Sets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (guarded(SYS_capset, &header, &sets) != 0) return Err(errno);
  return {};
}

// A program that root executes would gain what its parent gave up (less what no_new_privs denies),
// and lose its personality(2) for that. To change this takes CAP_SETPCAP.
void make_root_plain() {
  (void)prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
}

}  // namespace

Result<void> keep_capabilities(std::initializer_list<int> which, bool keep_ptrace) {
  uint64_t kept = keep_ptrace ? uint64_t(1) << CAP_SYS_PTRACE : 0;
  for (int c : which) kept |= uint64_t(1) << c;
  Sets sets{};
  TRY(get(sets));
  for (size_t i = 0; i < 2; i++) {
    auto& w = sets.words[i];
    w.permitted &= uint32_t(kept >> (32 * i));
    w.effective = w.permitted;
    w.inheritable = 0;
  }
  make_root_plain();
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Err(errno);
  // Linux before 4.3 has none of these.
  (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  return set(sets);
}

void drop_capabilities() {
  make_root_plain();
  (void)set(Sets{});
}

uint64_t capabilities() {
  Sets sets{};
  if (!get(sets)) return 0;
  return sets.words[0].effective | uint64_t(sets.words[1].effective) << 32;
}

Result<void> hide_from_others() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return Err(errno);
  return {};
}

}  // namespace usk::host
