// Several sandboxes at once, for usk fork and usk restore.
#pragma once
#include <functional>
#include <string>

#include "base/failure.h"

namespace usk {

// Like commands that a shell has in the background: nothing to read, and one place to write to.
// Each is a process that calls `run` with its name, NAME-1, NAME-2, ..., or none; they end with
// this one. The first code that is not 0, when all have ended.
OrFailure<int> run_copies(int copies, const std::string& name,
                          const std::function<int(const std::string& name)>& run);

}  // namespace usk
