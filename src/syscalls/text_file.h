// Text that a call makes up, as a file (memfd.cc).
#pragma once
#include "syscalls/syscalls.h"

namespace usk::sys {

// A file without a name that holds `text` and may only be read.
Result<Ref<File>> text_file(Task& t, std::string_view text);

}  // namespace usk::sys
