// The registers of a stopped tracee as ptrace(2) shows and changes them.
#pragma once
#include "kernel/task/task.h"

namespace usk {

// The word at `offset` of struct user (<sys/user.h>). EIO: no such word, or a value that a register
// cannot have.
Result<uint64_t> peek_user(Task& tracee, uint64_t offset);
Result<void> poke_user(Task& tracee, uint64_t offset, uint64_t value);

// PTRACE_SETREGS: as many registers as there are bytes, in the order of user_regs_struct. EIO.
Result<void> set_general_registers(Task& tracee, std::span<const std::byte> from);

// PTRACE_GETREGSET and PTRACE_SETREGSET. `type` as in <elf.h>; the first `length` bytes of what
// there is; how much that was. EINVAL: no such set, or a length that is none of its words.
Result<std::vector<std::byte>> get_register_set(Task& tracee, uint64_t type, uint64_t length);
Result<size_t> check_register_set(Task& tracee, uint64_t type, uint64_t length);
Result<void> set_register_set(Task& tracee, uint64_t type, std::span<const std::byte> from);

}  // namespace usk
