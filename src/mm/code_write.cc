#include "mm/code_write.h"

#include <sys/mman.h>

#include <algorithm>

#include "fs/vfs/guard.h"

namespace usk {

Result<size_t> write_for_program(AddressSpace& mm, uint64_t addr, std::span<const std::byte> src) {
  if (installed_guard) {
    const auto is_code = [&](const Vma& v) {
      return (v.prot & PROT_EXEC) && v.start < addr + src.size() && v.end > addr;
    };
    if (std::ranges::any_of(mm.areas(), is_code)) TRY(installed_guard->executable_memory());
  }
  return mm.write_forced(addr, src);
}

}  // namespace usk
