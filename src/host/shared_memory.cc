#include "host/shared_memory.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "host/call.h"

namespace usk::host {

Result<std::byte*> map_shared(int file, size_t size) {
  if (guarded(SYS_ftruncate, file, off_t(size)) < 0) return Err(errno);
  void* at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (at == MAP_FAILED) return Err(errno);
  return static_cast<std::byte*>(at);
}

void unmap_shared(std::byte* at, size_t size) { munmap(at, size); }

void wait_word(const uint32_t& word, uint32_t value, int64_t timeout_ns) {
  const timespec ts{timeout_ns / 1000000000, timeout_ns % 1000000000};
  (void)guarded(SYS_futex, &word, FUTEX_WAIT, value, &ts, nullptr, 0);
}

void wake_word(const uint32_t& word) {
  (void)guarded(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace usk::host
