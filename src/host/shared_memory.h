// Memory that the kernel process shares with its stubs: mmap(2), futex(2).
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace usk::host {

// Makes `file` `size` bytes long (sparse) and maps all of it.
Result<std::byte*> map_shared(int file, size_t size);
void unmap_shared(std::byte* at, size_t size);

// Sleeps until the word is no longer `value`, or for `timeout_ns`.
void wait_word(const uint32_t& word, uint32_t value, int64_t timeout_ns);
// Wakes all who do.
void wake_word(const uint32_t& word);

}  // namespace usk::host
