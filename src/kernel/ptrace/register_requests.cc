// Requests about registers.
#include <elf.h>
#include <sys/uio.h>

#include "kernel/ptrace/registers.h"
#include "kernel/ptrace/requests.h"

namespace usk {
namespace {

SyscallResult get_all(Task& tracer, Task& t, uint64_t type, uint64_t to) {
  const auto bytes = TRY(get_register_set(t, type, UINT64_MAX));
  const size_t size = type == NT_PRFPREG ? sizeof(user_fpregs_struct) : bytes.size();
  TRY(tracer.mem().copy_out(to, std::span(bytes).first(size)));
  return 0;
}

SyscallResult set_all(Task& tracer, Task& t, uint64_t type, uint64_t from) {
  std::vector<std::byte> bytes(TRY(check_register_set(t, type, UINT64_MAX)));
  TRY(tracer.mem().copy_in(bytes, from));
  TRY(set_register_set(t, type, bytes));
  return 0;
}

SyscallResult register_set(Task& tracer, Task& t, const PtraceRequest& q) {
  const UserPtr<iovec> where{q.data};
  iovec part = TRY(tracer.mem().get(where));
  const auto base = reinterpret_cast<uint64_t>(part.iov_base);
  part.iov_len = TRY(check_register_set(t, q.addr, part.iov_len));
  if (q.request == PTRACE_GETREGSET) {
    const auto bytes = TRY(get_register_set(t, q.addr, part.iov_len));
    TRY(tracer.mem().copy_out(base, bytes));
  } else {
    std::vector<std::byte> bytes(part.iov_len);
    TRY(tracer.mem().copy_in(bytes, base));
    TRY(set_register_set(t, q.addr, bytes));
  }
  TRY(tracer.mem().put(UserPtr<uint64_t>{q.data + offsetof(iovec, iov_len)}, part.iov_len));
  return 0;
}

SyscallResult peek(Task& tracer, Task& t, const PtraceRequest& q) {
  TRY(tracer.mem().put(UserPtr<uint64_t>{q.data}, TRY(peek_user(t, q.addr))));
  return 0;
}

SyscallResult poke(Task& t, const PtraceRequest& q) {
  TRY(poke_user(t, q.addr, q.data));
  return 0;
}

// arch_prctl(2) for another: `data` is the code, `addr` its argument.
SyscallResult set_base(Task& tracer, Task& t, const PtraceRequest& q) {
  constexpr uint64_t kSetGs = 0x1001, kSetFs = 0x1002, kGetFs = 0x1003, kGetGs = 0x1004;
  Regs& regs = t.cpu->regs();
  switch (q.data) {
    case kSetGs:
    case kSetFs:
      if (q.addr >= platform::kGuestEnd) return Err(EPERM);
      (q.data == kSetFs ? regs.fs_base : regs.gs_base) = q.addr;
      return 0;
    case kGetFs:
    case kGetGs:
      TRY(tracer.mem().put(UserPtr<uint64_t>{q.addr},
                           q.data == kGetFs ? regs.fs_base : regs.gs_base));
      return 0;
    default: return Err(EINVAL);
  }
}

}  // namespace

RequestResult register_request(Task& tracer, Task& t, const PtraceRequest& q) {
  switch (q.request) {
    case PTRACE_PEEKUSR: return peek(tracer, t, q);
    case PTRACE_POKEUSR: return poke(t, q);
    case PTRACE_GETREGS: return get_all(tracer, t, NT_PRSTATUS, q.data);
    case PTRACE_SETREGS: return set_all(tracer, t, NT_PRSTATUS, q.data);
    case PTRACE_GETFPREGS: return get_all(tracer, t, NT_PRFPREG, q.data);
    case PTRACE_SETFPREGS: return set_all(tracer, t, NT_PRFPREG, q.data);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET: return register_set(tracer, t, q);
    case PTRACE_ARCH_PRCTL: return set_base(tracer, t, q);
    default: return std::nullopt;
  }
}

}  // namespace usk
