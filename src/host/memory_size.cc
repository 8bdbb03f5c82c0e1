#include "host/memory_size.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "host/file_io.h"
#include "host/machine.h"
#include "host/open.h"

namespace usk::host {
namespace {

// A number in a file of the cgroup file system; none stands for no limit ("max").
uint64_t limit_in(const std::string& path) {
  std::array<std::byte, 32> text{};
  const auto fd = open_at(AT_FDCWD, path, O_RDONLY);
  if (!fd || !read(fd->get(), std::span(text).first(text.size() - 1))) return UINT64_MAX;
  const auto* digits = reinterpret_cast<const char*>(text.data());
  return isdigit(*digits) ? strtoull(digits, nullptr, 10) : UINT64_MAX;
}

// The least of a group and of all above it: cgroups(7). Groups of a namespace that is not the
// mount's are no names below it; then the topmost one is asked alone.
uint64_t limit_of(const std::string& top, std::string group, const char* file) {
  uint64_t least = UINT64_MAX;
  for (;;) {
    least = std::min(least, limit_in(top + group + "/" + file));
    const size_t slash = group.rfind('/');
    if (slash == group.npos) return least;
    group.resize(slash);
  }
}

}  // namespace

uint64_t physical_memory() {
  static const uint64_t bytes = machine().memory_total;
  return bytes;
}

uint64_t memory_to_be_had() {
  uint64_t least = physical_memory();
  const std::string groups = read_proc("self/cgroup", 1 << 16);
  for (size_t at = 0; at < groups.size();) {
    const size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string line = groups.substr(at, end - at);
    at = end + 1;
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string group = line.substr(second + 1);
    if (group == "/") group.clear();
    if (controllers.empty()) {
      least = std::min(least, limit_of("/sys/fs/cgroup", group, "memory.max"));
    } else if (controllers == "memory") {
      least = std::min(least, limit_of("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace usk::host
