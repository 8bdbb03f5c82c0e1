#include "fs/vfs/file_time.h"

#include <atomic>

#include "host/file.h"

namespace usk {
namespace {

constexpr int64_t kNs = 1'000'000'000;
std::atomic<int64_t> time_offset{0};

}  // namespace

timespec file_time() {
  timespec t = host::now_realtime();
  const int64_t offset = time_offset.load(std::memory_order_relaxed);
  const int64_t ns = t.tv_nsec + offset % kNs;
  t.tv_sec += offset / kNs + (ns < 0 ? -1 : ns / kNs);
  t.tv_nsec = ns < 0 ? ns + kNs : ns % kNs;
  return t;
}

void set_file_time_offset(int64_t ns) { time_offset.store(ns, std::memory_order_relaxed); }

}  // namespace usk
