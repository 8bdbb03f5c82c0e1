#include "kernel/signal/rseq.h"

#include <linux/rseq.h>

#include <cstddef>

namespace usk {

bool leave_critical_section(Task& t) {
  if (!t.rseq.addr || t.cpu->left_critical_section()) return true;
  UserMemory mem = t.mem();
  const UserPtr<uint64_t> pointer{t.rseq.addr + offsetof(struct rseq, rseq_cs)};
  auto section_addr = mem.get(pointer);
  if (!section_addr) return false;
  if (!*section_addr) return true;
  struct Section {
    uint32_t version, flags;
    uint64_t start, length, abort;
  };
  auto section = mem.get(UserPtr<const Section>{*section_addr});
  if (!section || section->version > 0 || section->abort - section->start < section->length) {
    return false;
  }
  Regs& regs = t.cpu->regs();
  if (!mem.put(pointer, uint64_t(0))) return false;
  if (regs.rip - section->start >= section->length) return true;
  auto signature = mem.get(UserPtr<const uint32_t>{section->abort - sizeof(uint32_t)});
  if (!signature || *signature != t.rseq.signature) return false;
  regs.rip = section->abort;
  return true;
}

}  // namespace usk
