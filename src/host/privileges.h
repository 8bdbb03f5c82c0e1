// What a process may do beyond its user's rights: capabilities(7).
#pragma once
#include <cstdint>
#include <initializer_list>

#include "base/result.h"

namespace usk::host {

// Keeps these capabilities (CAP_*), and CAP_SYS_PTRACE if it is needed, of those the process has,
// and no other; nor can it or a child ever get one.
Result<void> keep_capabilities(std::initializer_list<int> which, bool keep_ptrace = false);
// For a child between fork and exec.
void drop_capabilities();
// The effective ones, one bit each.
uint64_t capabilities();
// Others of the same user cannot look into the process, nor does it dump core.
Result<void> hide_from_others();

}  // namespace usk::host
