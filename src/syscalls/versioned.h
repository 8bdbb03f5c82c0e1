// Structures that grow: the caller says how long its one is.
#pragma once
#include <algorithm>
#include <cstring>

#include "kernel/task/task.h"

namespace usk::sys {

// The structure at `addr`, of `size` bytes there: at least `oldest`, at most a page. What it
// lacks of ours is zero; what it has beyond must be (E2BIG).
template <PlainData T>
Result<T> get_versioned(Task& t, uint64_t addr, uint64_t size, size_t oldest) {
  if (size > 4096) return Err(E2BIG);
  if (size < oldest) return Err(EINVAL);
  std::vector<std::byte> bytes(size);
  TRY(t.mem().copy_in(bytes, addr));
  for (size_t i = sizeof(T); i < size; i++) {
    if (bytes[i] != std::byte(0)) return Err(E2BIG);
  }
  T value{};
  memcpy(static_cast<void*>(&value), bytes.data(), std::min(sizeof(T), bytes.size()));
  return value;
}

}  // namespace usk::sys
