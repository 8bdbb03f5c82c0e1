// What the parts of the loader share.
#pragma once
#include "loader/elf.h"
#include "loader/loader.h"

namespace usk {

// A program on its way into a fresh address space.
struct NewProgram {
  Ref<AddressSpace> mm;
  std::unique_ptr<platform::Thread> cpu;
  MemoryLimits limits;
  bool randomize = true;
  uint64_t stack_top = 0;
  UserMemory memory() { return UserMemory(*mm, *cpu, limits); }
};

// Maps all segments, moved by the returned bias. `wanted`: where a movable image should start; 0:
// where mmap(2) would put it.
Result<uint64_t> map_image(NewProgram& p, const ElfImage& image, uint64_t wanted);
// Where the program headers are in memory; 0 when no segment holds them.
uint64_t header_address(const ElfImage& image, uint64_t bias);

// A page-aligned random number below `bits` bits of pages; 0 without randomisation.
uint64_t random_offset(const NewProgram& p, int bits);

// Maps the stack and writes arguments, environment and auxiliary vector; sets the stack pointer.
struct StackContents {
  std::vector<std::string> argv, envp;
  std::string exec_name;
  std::vector<std::pair<uint64_t, uint64_t>> aux;  // Without those that point into the stack.
  int prot = 0;
};
Result<void> build_stack(NewProgram& p, const StackContents& contents);

// Maps the vDSO behind the time page; its address.
Result<uint64_t> map_vdso(NewProgram& p, const Ref<HostFd>& time_page);

}  // namespace usk
