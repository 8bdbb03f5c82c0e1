// The switches for core files: core(5), proc_sys_kernel(5), proc_sys_fs(5).
#pragma once
#include <string>

#include "base/fields.h"
#include "base/lock.h"

namespace usk {

// /proc/sys/kernel/core_* and /proc/sys/fs/suid_dumpable of one sandbox.
class CoreSettings {
 public:
  static constexpr size_t kMostPattern = 127;
  std::string pattern() const EXCLUDES(mu_) {
    Lock lock(mu_);
    return pattern_;
  }
  void set_pattern(std::string p) EXCLUDES(mu_) {
    Lock lock(mu_);
    pattern_ = std::move(p);
  }

  std::atomic<int> uses_pid{0};
  std::atomic<int> pipe_limit{0};
  std::atomic<int> suid_dumpable{0};  // As PR_GET_DUMPABLE says it.
  USK_FIELDS(pattern_, uses_pid, pipe_limit, suid_dumpable)

 private:
  mutable Mutex<Rank::kLeaf> mu_;
  std::string pattern_ GUARDED_BY(mu_) = "core";
};

}  // namespace usk
