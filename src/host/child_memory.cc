#include "host/child_memory.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "host/open.h"
#include "host/process.h"

namespace usk::host {
namespace {

constexpr uint64_t kPage = 4096;

std::optional<uint64_t> kib_after(std::string_view text, std::string_view key) {
  const size_t at = text.find(key);
  if (at == text.npos) return std::nullopt;
  return strtoull(text.data() + at + key.size(), nullptr, 10) * 1024;
}

// mmap(2) with MAP_SHARED | MAP_ANONYMOUS is a file without a name.
uint64_t shared_anonymous(pid_t pid) {
  const std::string text = read_proc(fmt::format("{}/smaps", pid));
  constexpr std::string_view kName = "/dev/zero (deleted)\n";
  uint64_t sum = 0;
  for (size_t at = text.find(kName); at != text.npos; at = text.find(kName, at)) {
    at += kName.size();
    sum += kib_after(std::string_view(text).substr(at), "\nPss:").value_or(0);
  }
  return sum;
}

}  // namespace

std::vector<pid_t> children() {
  std::vector<pid_t> out;
  for (const std::string& tid : list_proc("self/task")) {
    const std::string text = read_proc("self/task/" + tid + "/children");
    for (const char* p = text.c_str(); *p;) {
      char* end;
      const long pid = strtol(p, &end, 10);
      if (end == p) break;
      out.push_back(pid_t(pid));
      p = end + (*end == ' ');
    }
  }
  return out;
}

std::string command_name(pid_t pid) {
  std::string name = read_proc(fmt::format("{}/comm", pid));
  if (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

uint64_t resident_of(pid_t pid) {
  const auto usage = process_usage(pid);
  return usage ? usage->resident_pages * kPage : 0;
}

uint64_t own_anonymous() {
  // statm: size, resident, and of that what is shared or of files.
  uint64_t size = 0, resident = 0, shared = 0;
  const std::string text = read_proc("self/statm", 256);
  const int fields = sscanf(text.c_str(), "%lu %lu %lu", &size, &resident, &shared);
  return fields == 3 && resident > shared ? (resident - shared) * kPage : 0;
}

uint64_t anonymous_share_of(pid_t pid) {
  const std::string text = read_proc(fmt::format("{}/smaps_rollup", pid));
  const auto anonymous = kib_after(text, "\nPss_Anon:");
  // A host that does not tell: more than it is, rather than less.
  if (!anonymous) return resident_of(pid);
  uint64_t sum = *anonymous;
  // Shared anonymous memory is among that of files in memory.
  if (kib_after(text, "\nPss_Shmem:").value_or(1) > 0) sum += shared_anonymous(pid);
  return sum;
}

}  // namespace usk::host
