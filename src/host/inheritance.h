// What a process has of whoever started it, and needs no longer.
#pragma once
#include <span>
#include <string>

#include "base/result.h"

namespace usk::host {

// Closes descriptors that were open when this program began, but the standard streams and `kept`.
// They are known by not being closed on exec, as all of our own are.
void close_inherited(std::span<const int> kept);

// The name of what a descriptor's own name (/dev/fd/3, /dev/stdin, /proc/self/fd/3) stands for;
// other names stay. ENOENT: that has none, as a pipe or what was removed. To be asked while
// descriptors are still those of the caller.
Result<std::string> lasting_name(const std::string& path);

// Overwrites the environment, which may hold secrets. Later there is none.
void forget_environment();

}  // namespace usk::host
