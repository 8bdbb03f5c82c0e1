#include "kernel/ptrace/debug_registers.h"

namespace usk {
namespace {
constexpr size_t kStatus = 6, kControl = 7;

Result<void> give_to(platform::Thread& cpu, const std::array<uint64_t, 8>& debug) {
  return cpu.set_debug_registers({debug[0], debug[1], debug[2], debug[3]}, debug[kControl]);
}
}  // namespace

uint64_t debug_register(Task& t, size_t number) {
  if (number == kStatus) return t.cpu->debug_status();
  return number < t.debug.size() ? t.debug[number] : 0;
}

Result<void> set_debug_register(Task& t, size_t number, uint64_t value) {
  if (number == 4 || number == 5 || number >= t.debug.size()) return Err(EIO);
  if (number == kStatus) {
    t.cpu->set_debug_status(value);
    return {};
  }
  if (number != kControl && value >= platform::kGuestEnd) return Err(EINVAL);
  auto wanted = t.debug;
  wanted[number] = value;
  auto ok = give_to(*t.cpu, wanted);
  if (ok) {
    t.debug = wanted;
  } else {
    (void)give_to(*t.cpu, t.debug);  // Those that it had before.
  }
  return ok;
}

}  // namespace usk
