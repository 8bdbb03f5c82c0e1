// Writing where a program's own stores could not.
#pragma once
#include "mm/address_space.h"

namespace usk {

// AddressSpace::write_forced() for a program: into code, only if the policy lets memory be written
// and executed.
Result<size_t> write_for_program(AddressSpace& mm, uint64_t addr, std::span<const std::byte> src);

}  // namespace usk
