// Mapping the segments of an ELF image.
#include <sys/mman.h>

#include <cstring>

#include "loader/load_steps.h"

namespace usk {
namespace {

int to_prot(uint32_t flags) {
  return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) |
         (flags & PF_X ? PROT_EXEC : 0);
}

// The rest of the last file page, and whole pages after it, are zero.
Result<void> clear_tail(NewProgram& p, const Elf64_Phdr& ph, uint64_t bias, int prot) {
  const uint64_t file_end = bias + ph.p_vaddr + ph.p_filesz;
  const uint64_t mem_end = page_up(bias + ph.p_vaddr + ph.p_memsz);
  const uint64_t first_zero_page = ph.p_filesz ? page_up(file_end) : page_down(file_end);
  if (ph.p_filesz && first_zero_page > file_end && (prot & PROT_WRITE)) {
    const std::vector<std::byte> zeros(first_zero_page - file_end);
    TRY(p.memory().copy_out(file_end, zeros));
  }
  if (mem_end <= first_zero_page) return {};
  TRY(p.mm->map(*p.cpu,
                {.addr = first_zero_page,
                 .length = mem_end - first_zero_page,
                 .prot = prot,
                 .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED},
                p.limits));
  return {};
}

Result<void> map_segment(NewProgram& p, const ElfImage& image, const Elf64_Phdr& ph,
                         uint64_t bias) {
  const int prot = to_prot(ph.p_flags);
  if (ph.p_filesz) {
    const uint64_t skew = ph.p_vaddr % platform::kPageSize;
    TRY(p.mm->map(*p.cpu,
                  {.addr = bias + ph.p_vaddr - skew,
                   .length = ph.p_filesz + skew,
                   .prot = prot,
                   .flags = MAP_PRIVATE | MAP_FIXED,
                   .file = image.file,
                   .offset = ph.p_offset - skew},
                  p.limits));
  }
  return clear_tail(p, ph, bias, prot);
}

// Reserves the whole extent, so that segments land beside each other; the gaps stay unmapped.
Result<uint64_t> choose_bias(NewProgram& p, const ElfImage& image, uint64_t wanted) {
  if (image.fixed) return 0;
  const uint64_t size = image.high - image.low;
  if (wanted) return (wanted & ~(image.align - 1)) - image.low;
  const uint64_t at = TRY(p.mm->map(*p.cpu,
                                    {.length = size + image.align,
                                     .prot = PROT_NONE,
                                     .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE},
                                    p.limits));
  TRY(p.mm->unmap(*p.cpu, at, page_up(size + image.align)));
  return ((at + image.align - 1) & ~(image.align - 1)) - image.low;
}

}  // namespace

Result<uint64_t> map_image(NewProgram& p, const ElfImage& image, uint64_t wanted) {
  const uint64_t bias = TRY(choose_bias(p, image, wanted));
  if (bias + image.high > platform::kGuestEnd || bias + image.high < bias) return Err(ENOEXEC);
  for (const Elf64_Phdr& ph : image.load) TRY(map_segment(p, image, ph, bias));
  return bias;
}

uint64_t header_address(const ElfImage& image, uint64_t bias) {
  for (const Elf64_Phdr& ph : image.load) {
    if (image.headers_offset >= ph.p_offset && image.headers_offset < ph.p_offset + ph.p_filesz) {
      return bias + ph.p_vaddr + (image.headers_offset - ph.p_offset);
    }
  }
  return 0;
}

}  // namespace usk
