#include "loader/elf.h"

#include <string.h>
#include <sys/mman.h>

#include "mm/address_space.h"

namespace usk {

Result<void> read_exactly(File& file, uint64_t offset, std::span<std::byte> dst) {
  while (!dst.empty()) {
    KernelOut out(dst);
    uint64_t pos = offset;
    const size_t n = TRY(file.read(out, pos));
    if (n == 0) return Err(ENOEXEC);
    dst = dst.subspan(n);
    offset += n;
  }
  return {};
}

namespace {

constexpr size_t kMaxHeaders = 512;  // A page of the program header table and then some.

bool is_ours(const Elf64_Ehdr& h) {
  return memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 && h.e_ident[EI_CLASS] == ELFCLASS64 &&
         h.e_ident[EI_DATA] == ELFDATA2LSB && h.e_machine == EM_X86_64 &&
         (h.e_type == ET_EXEC || h.e_type == ET_DYN) && h.e_phentsize == sizeof(Elf64_Phdr);
}

Result<void> add_segment(ElfImage& image, const Elf64_Phdr& p) {
  const uint64_t kTop = platform::kGuestEnd;
  if (p.p_memsz == 0) return {};
  if (p.p_filesz > p.p_memsz || p.p_vaddr > kTop || p.p_memsz > kTop - p.p_vaddr) {
    return Err(ENOEXEC);
  }
  if (p.p_offset > INT64_MAX - p.p_filesz) return Err(ENOEXEC);
  if (p.p_vaddr % platform::kPageSize != p.p_offset % platform::kPageSize) return Err(ENOEXEC);
  if (!image.load.empty() && p.p_vaddr < image.load.back().p_vaddr) return Err(ENOEXEC);
  if (image.load.empty()) image.low = page_down(p.p_vaddr);
  image.high = std::max(image.high, page_up(p.p_vaddr + p.p_memsz));
  if (p.p_align > image.align && (p.p_align & (p.p_align - 1)) == 0 && p.p_align <= (1 << 30)) {
    image.align = p.p_align;
  }
  image.load.push_back(p);
  return {};
}

Result<std::string> read_interpreter(File& file, const Elf64_Phdr& p) {
  if (p.p_filesz < 2 || p.p_filesz > 4096) return Err(ENOEXEC);
  std::string name(p.p_filesz, 0);
  TRY(read_exactly(file, p.p_offset, std::as_writable_bytes(std::span(name))));
  if (name.back() != 0) return Err(ENOEXEC);
  name.resize(strlen(name.c_str()));
  return name;
}

}  // namespace

Result<ElfImage> read_elf(Ref<File> file) {
  Elf64_Ehdr h;
  TRY(read_exactly(*file, 0, std::as_writable_bytes(std::span(&h, 1))));
  if (!is_ours(h) || h.e_phnum == 0 || h.e_phnum > kMaxHeaders) return Err(ENOEXEC);
  std::vector<Elf64_Phdr> headers(h.e_phnum);
  TRY(read_exactly(*file, h.e_phoff, std::as_writable_bytes(std::span(headers))));
  ElfImage image;
  image.file = file;
  image.fixed = h.e_type == ET_EXEC;
  image.entry = h.e_entry;
  image.headers_offset = h.e_phoff;
  image.header_count = h.e_phnum;
  for (const Elf64_Phdr& p : headers) {
    if (p.p_type == PT_LOAD) {
      TRY(add_segment(image, p));
    } else if (p.p_type == PT_INTERP && !image.interpreter) {
      image.interpreter = TRY(read_interpreter(*file, p));
    } else if (p.p_type == PT_GNU_STACK) {
      image.stack_prot = p.p_flags & PF_X ? PROT_EXEC : 0;
    }
  }
  if (image.load.empty()) return Err(ENOEXEC);
  return image;
}

}  // namespace usk
