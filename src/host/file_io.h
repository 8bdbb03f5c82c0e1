// Reading and writing host descriptors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

Result<size_t> pread(int fd, std::span<std::byte> dst, uint64_t offset);
Result<size_t> pwrite(int fd, std::span<const std::byte> src, uint64_t offset);
// Non-blocking descriptors: EAGAIN where they would wait.
Result<size_t> read(int fd, std::span<std::byte> dst);
Result<size_t> write(int fd, std::span<const std::byte> src);
// A host path of our own choosing (never one that the guest gave).
Result<UniqueFd> open_readonly(const std::string& path);
// ... made or emptied, for writing.
Result<UniqueFd> create_file(const std::string& path);
// For appending; made if it is not there.
Result<UniqueFd> open_log(const std::string& path);
// dup(2), close-on-exec.
Result<UniqueFd> duplicate(int fd);
// An anonymous file in memory: memfd_create(2).
Result<UniqueFd> memory_file(const char* name, bool executable = false);

}  // namespace usk::host
