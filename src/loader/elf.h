// ELF headers, checked: elf(5).
#pragma once
#include <elf.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "fs/vfs/file.h"

namespace usk {

// What of an executable matters for mapping it. All sizes and offsets have been checked to be sane.
struct ElfImage {
  Ref<File> file;
  bool fixed = false;  // ET_EXEC: addresses are absolute.
  uint64_t entry = 0;
  uint64_t headers_offset = 0;  // Of the program headers, in the file.
  uint16_t header_count = 0;
  std::vector<Elf64_Phdr> load;  // PT_LOAD, ascending.
  std::optional<std::string> interpreter;
  int stack_prot = 0;          // PT_GNU_STACK; default executable stack is off.
  uint64_t low = 0, high = 0;  // Page-aligned extent of the segments.
  uint64_t align = 4096;
};

// ENOEXEC for anything that is not a well-formed 64-bit x86 executable or shared object.
Result<ElfImage> read_elf(Ref<File> file);
// Exactly `dst` at `offset`; ENOEXEC where the file is shorter.
Result<void> read_exactly(File& file, uint64_t offset, std::span<std::byte> dst);

}  // namespace usk
