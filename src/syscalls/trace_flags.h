// Names of flag bits for --trace.
#pragma once
#include <cstdint>
#include <string>

namespace usk {

std::string open_flags(uint32_t bits);
std::string mmap_prot(uint32_t bits);
std::string mmap_flags(uint32_t bits);
std::string at_flags(uint32_t bits);
std::string clone_flags(uint64_t bits);

}  // namespace usk
