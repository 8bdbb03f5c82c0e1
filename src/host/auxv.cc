#include "host/auxv.h"

#include <sys/auxv.h>

namespace usk::host {

uint64_t auxiliary(unsigned long type) { return getauxval(type); }

}  // namespace usk::host
