#include "kernel/ptrace/debug_registers.h"

namespace usk {
namespace {
constexpr size_t kStatus = 6, kControl = 7;
}  // namespace

uint64_t debug_register(Task& t, size_t number) {
  if (number >= t.debug.size()) return 0;
  return t.debug[number];
}

Result<void> set_debug_register(Task& t, size_t number, uint64_t value) {
  if (number == 4 || number == 5 || number >= t.debug.size()) return Err(EIO);
  if (number == kStatus) {
    t.debug[kStatus] = value;
    return {};
  }
  if (number != kControl && value >= platform::kGuestEnd) return Err(EINVAL);
  auto wanted = t.debug;
  wanted[number] = value;
  TRY(t.cpu->set_debug_registers({wanted[0], wanted[1], wanted[2], wanted[3]}, wanted[kControl]));
  t.debug = wanted;
  return {};
}

}  // namespace usk
