#include "host/vdso.h"

#include <elf.h>
#include <fmt/format.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include <algorithm>

#include "host/open.h"

namespace usk::host {
namespace {

// Offset of a function in this process's vDSO, which is the same image as any other's.
uint64_t offset_of(const char* name) {
  const auto base = getauxval(AT_SYSINFO_EHDR);
  if (!base) return 0;
  const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base);
  const auto* segments = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
  const Elf64_Dyn* dynamic = nullptr;
  for (int i = 0; i < header->e_phnum; i++) {
    if (segments[i].p_type == PT_DYNAMIC) {
      dynamic = reinterpret_cast<const Elf64_Dyn*>(base + segments[i].p_vaddr);
    }
  }
  const Elf64_Sym* symbols = nullptr;
  const char* names = nullptr;
  for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
    if (dynamic->d_tag == DT_SYMTAB) {
      symbols = reinterpret_cast<const Elf64_Sym*>(base + dynamic->d_un.d_ptr);
    }
    if (dynamic->d_tag == DT_STRTAB) {
      names = reinterpret_cast<const char*>(base + dynamic->d_un.d_ptr);
    }
  }
  if (!symbols || !names) return 0;
  // The names follow the symbols.
  for (auto* s = symbols; reinterpret_cast<const char*>(s + 1) <= names; s++) {
    if (s->st_value && strcmp(names + s->st_name, name) == 0) return s->st_value;
  }
  return 0;
}

}  // namespace

Vdso vdso_of(pid_t pid) {
  Vdso v;
  const std::string maps = read_proc(fmt::format("{}/maps", pid));
  for (size_t at = 0, next; at < maps.size(); at = next) {
    next = std::min(maps.find('\n', at), maps.size() - 1) + 1;
    const std::string text = maps.substr(at, next - at);
    const char* const line = text.c_str();
    unsigned long start = 0, end = 0;
    if (sscanf(line, "%lx-%lx", &start, &end) != 2) continue;
    const bool code = strstr(line, "[vdso]");
    if (!code && !strstr(line, "[vvar")) continue;
    if (!v.start) v.start = start;
    v.end = end;
    if (!code) continue;
    if (const uint64_t offset = offset_of("__vdso_clock_gettime")) v.clock_gettime = start + offset;
  }
  return v;
}

}  // namespace usk::host
