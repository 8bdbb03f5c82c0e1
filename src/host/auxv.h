// What the host's kernel told this process about the machine: getauxval(3).
#pragma once
#include <cstdint>

namespace usk::host {

uint64_t auxiliary(unsigned long type);

}  // namespace usk::host
