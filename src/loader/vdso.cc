#include <sys/mman.h>

#include "loader/load_steps.h"

extern "C" const std::byte usk_vdso_begin[], usk_vdso_end[];

namespace usk {

Result<uint64_t> map_vdso(NewProgram& p, const Ref<HostFd>& time_page) {
  const std::span image(usk_vdso_begin, usk_vdso_end);
  const uint64_t length = page_up(image.size());
  const uint64_t page = TRY(p.mm->map(*p.cpu,
                                      {.length = platform::kPageSize + length,
                                       .prot = PROT_READ | PROT_WRITE,
                                       .flags = MAP_PRIVATE | MAP_ANONYMOUS,
                                       .name = "[vdso]"},
                                      p.limits));
  const uint64_t at = page + platform::kPageSize;
  TRY(p.mm->map(*p.cpu,
                {.addr = page,
                 .length = platform::kPageSize,
                 .prot = PROT_READ,
                 .flags = MAP_PRIVATE | MAP_FIXED,
                 .name = "[vvar]",
                 .memory = time_page},
                p.limits));
  TRY(p.memory().copy_out(at, image));
  TRY(p.mm->protect(*p.cpu, at, length, PROT_READ | PROT_EXEC));
  p.mm->layout.vdso = at;
  return at;
}

}  // namespace usk
