// The end of a process that was a sandbox's.
#pragma once
#include <memory>

#include "boot/sandbox.h"

namespace usk {

// Of one whose command has ended. What it had goes to the host as a whole, which is faster than
// object by object; so this returns only where that is to be seen (sanitizers), or where output
// could not be written. The code to exit with.
int leave(std::unique_ptr<Sandbox> sandbox, int code);

}  // namespace usk
