// How much memory programs can have: what their areas come to.
#pragma once
#include <cstdint>

namespace usk {

// Bytes of all areas of all spaces, and of shared ones that have been: their pages may still be
// with a file. No more than that can be memory of programs, files that only were written to aside.
uint64_t mapped_bytes();

}  // namespace usk
