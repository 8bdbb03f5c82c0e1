// How much memory this process and its children use: proc(5).
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace usk::host {

// Living children of any of our threads, /proc/PID/task/TID/children.
std::vector<pid_t> children();
std::string command_name(pid_t pid);  // comm(5); empty when it is gone.
// Bytes resident, all kinds of pages. 0: it is gone.
uint64_t resident_of(pid_t pid);
// Bytes of anonymous pages of this process's own.
uint64_t own_anonymous();
// Bytes of its anonymous pages, private and shared ones, a page that n processes have counted as
// 1/n in each. Looks at every page: slow with many.
uint64_t anonymous_share_of(pid_t pid);

}  // namespace usk::host
