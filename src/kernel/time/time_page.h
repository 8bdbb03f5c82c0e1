// The page with which the guest's vDSO reads the clocks.
#pragma once
#include "abi/time_page.h"
#include "base/ref.h"
#include "host/host_fd.h"

namespace usk {

// One page of memory that every process maps read-only in front of its vDSO.
class TimePage {
 public:
  TimePage();
  ~TimePage();
  TimePage(const TimePage&) = delete;

  // Null: no memory could be had; the vDSO then has nothing to read.
  const Ref<HostFd>& memory() const { return memory_; }
  // Where stubs can call the host's clock_gettime(2).
  void set_host_function(uint64_t address);
  // What the guest's clocks are ahead of the host's, in nanoseconds. By one thread.
  void set_offsets(int64_t realtime, int64_t monotonic);

 private:
  Ref<HostFd> memory_;
  usk_time_page* page_ = nullptr;
};

}  // namespace usk
