// Any bytes as a filter and a call: what the checker takes runs to its end without harm, and the
// same by number first.
#include <linux/audit.h>

#include <cstring>

#include "base/check.h"
#include "kernel/seccomp/fast_program.h"
#include "kernel/seccomp/program_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace usk::seccomp;
  seccomp_data data{};
  if (size < sizeof data) return 0;
  memcpy(&data, bytes, sizeof data);
  data.arch = AUDIT_ARCH_X86_64;
  Program program((size - sizeof data) / sizeof(sock_filter));
  if (!program.empty()) {
    memcpy(program.data(), bytes + sizeof data, program.size() * sizeof(sock_filter));
  }
  if (!check_program(program)) return 0;
  const uint32_t plain = run_plainly(program, data);
  const FastProgram fast(program);
  CHECK(fast.finish({}, data) == plain);
  Machine machine;
  const auto known = run_by_number(program, machine, uint32_t(data.nr));
  CHECK((known ? *known : fast.finish(machine, data)) == plain);
  CHECK(counted_length(program) > program.size());
  return 0;
}
