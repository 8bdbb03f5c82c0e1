// How the kernel process opens: openat2(2) alone, beneath a directory it holds or through /proc.
#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk::host {

// openat2(2), always close-on-exec. `dir` is AT_FDCWD or a descriptor.
Result<UniqueFd> open_at(int dir, const std::string& path, int flags, uint32_t mode = 0,
                         uint64_t resolve = 0);

// The process is about to leave its root: paths behind AT_FDCWD are looked up where they were, with
// no links of /proc on the way, until start is forgotten. Then they lead nowhere.
Result<void> keep_start();
void forget_start();

// The host's /proc, held from the first time that it is asked for: it must be that before the
// process gives up the file tree it came from. -1 where nothing is mounted there.
int proc_dir();
// A file of /proc, as in "meminfo" or "self/stat"; no link of /proc leads out of it.
Result<UniqueFd> open_proc(const std::string& path, int flags);
// What one says, up to so many bytes; nothing if it cannot be read.
std::string read_proc(const std::string& path, size_t most = 4 << 20);
// Names in an open directory, and in one of /proc.
std::vector<std::string> names_in(int dir);
std::vector<std::string> list_proc(const std::string& path);

// Puts a /proc of our own in place of the host's that has processes alone, nothing that changes the
// system. EPERM: that takes CAP_SYS_ADMIN.
Result<void> use_private_proc();
// /proc/cpuinfo, from when proc_dir() was first asked for.
std::string read_cpu_info();

// The name of a descriptor of ours beneath proc_dir().
std::string descriptor_name(int fd);
// Where what it stands for is, from the top of the host's tree.
Result<std::string> path_of(int fd);
// A new description of the same file: open(2) of it with `flags`.
Result<UniqueFd> reopen(int fd, int flags);

}  // namespace usk::host
