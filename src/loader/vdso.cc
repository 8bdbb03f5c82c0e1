#include "loader/load_steps.h"

namespace usk {

// No vDSO yet: programs make the calls.
Result<uint64_t> map_vdso(NewProgram&) { return 0; }

}  // namespace usk
