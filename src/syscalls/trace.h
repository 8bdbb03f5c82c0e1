// --trace: system calls as text, in the manner of strace(1).
#pragma once
#include <functional>
#include <string>

#include "kernel/kernel.h"

namespace usk {

// Installs observers in the kernel's hooks; each finished line goes to `write`.
void install_trace(Kernel& kernel, std::function<void(const std::string&)> write);

// "ENOENT", "SIGINT"; a number where there is no name.
std::string errno_name(int code);
std::string signal_name(int sig);

}  // namespace usk
