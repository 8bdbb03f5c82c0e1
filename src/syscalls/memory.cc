// mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), msync(2), mincore(2), mlock(2),
// membarrier(2), process_vm_readv(2).
#include <linux/membarrier.h>

#include "fs/tmpfs/shmem.h"
#include "fs/vfs/guard.h"
#include "kernel/kernel.h"
#include "kernel/task/access.h"
#include "syscalls/syscalls.h"

#ifndef MLOCK_ONFAULT
#define MLOCK_ONFAULT 1
#endif

namespace usk::sys {
namespace {

// READ_IMPLIES_EXEC of personality(2).
int implied_prot(Task& t, int prot) {
  if ((t.personality & 0x0400000) && (prot & PROT_READ)) prot |= PROT_EXEC;
  return prot;
}

// What a policy says of memory that is to be executed, and of files that only grow.
Result<void> ask_to_map(const MapRequest& q) {
  const bool shared = (q.flags & MAP_TYPE) != MAP_PRIVATE;
  if (q.file && shared && q.file->append_only() && q.file->can(File::kWrite)) return Err(EACCES);
  if (!(q.prot & PROT_EXEC)) return {};
  // What can still be written through the descriptor, or by another who maps it, is no less
  // writable.
  const bool writable = !q.file || (q.prot & PROT_WRITE) || shared || q.file->can(File::kWrite);
  if (writable) TRY(installed_guard->executable_memory());
  if (!q.file) return {};
  return installed_guard->execute(*q.file);
}

// Memory that was mapped without PROT_EXEC comes to have it.
Result<void> ask_to_execute(AddressSpace& mm, uint64_t addr, uint64_t length, int prot) {
  const uint64_t end = addr + length;
  for (const Vma& v : mm.areas()) {
    if (v.start >= end || v.end <= addr) continue;
    const bool gains = !(v.prot & PROT_EXEC);
    if (gains || (prot & PROT_WRITE)) TRY(installed_guard->executable_memory());
    if (gains && v.file) TRY(installed_guard->execute(*v.file));
  }
  return {};
}

}  // namespace

SyscallResult mmap(Task& t, uint64_t addr, uint64_t length, MmapProt prot, MmapFlags flags, Fd fd,
                   uint64_t offset) {
  if (offset % platform::kPageSize) return Err(EINVAL);
  MapRequest q{.addr = addr,
               .length = length,
               .prot = implied_prot(t, int(prot.bits)),
               .flags = int(flags.bits)};
  q.make_shared = [&t](uint64_t size) { return make_shared_memory(size, t.creds); };
  if (!flags.has(MAP_ANONYMOUS)) {
    q.file = TRY(t.file(fd.n));
    q.offset = offset;
    if (length == 0) return Err(EINVAL);
    if (prot.has(PROT_EXEC) && q.file->path().mount && q.file->path().mount->has(MS_NOEXEC)) {
      return Err(EPERM);
    }
  }
  if (installed_guard) {
    TRY(ask_to_map(q));
    TRY(installed_guard->more_memory(length));
  }
  TRY(t.kernel.check_memory(t, length, prot.bits, flags.bits));
  return TRY(t.mm->map(*t.cpu, q, t.memory_limits()));
}

SyscallResult mprotect(Task& t, uint64_t addr, uint64_t length, MmapProt prot) {
  const int wanted = implied_prot(t, int(prot.bits));
  if (installed_guard && (wanted & PROT_EXEC)) TRY(ask_to_execute(*t.mm, addr, length, wanted));
  TRY(t.mm->protect(*t.cpu, addr, length, wanted));
  return 0;
}

SyscallResult munmap(Task& t, uint64_t addr, uint64_t length) {
  TRY(t.mm->unmap(*t.cpu, addr, length));
  return 0;
}

SyscallResult brk(Task& t, uint64_t addr) {
  const uint64_t old = t.mm->current_break();
  if (installed_guard && addr > old && !installed_guard->more_memory(addr - old)) return old;
  if (addr > old && !t.kernel.check_memory(t, addr - old, PROT_WRITE, MAP_PRIVATE)) return old;
  return t.mm->set_break(*t.cpu, addr, t.memory_limits());
}

SyscallResult mremap(Task& t, uint64_t old_addr, uint64_t old_length, uint64_t new_length,
                     int32_t flags, uint64_t new_addr) {
  if (new_length > old_length) {
    if (installed_guard) TRY(installed_guard->more_memory(new_length - old_length));
    TRY(t.kernel.check_memory(t, new_length - old_length, PROT_WRITE, MAP_PRIVATE));
  }
  return TRY(
      t.mm->remap(*t.cpu, old_addr, old_length, new_length, flags, new_addr, t.memory_limits()));
}

SyscallResult msync(Task& t, uint64_t addr, uint64_t length, int32_t flags) {
  TRY(t.mm->sync(*t.cpu, addr, length, flags));
  return 0;
}

SyscallResult mincore(Task& t, uint64_t addr, uint64_t length, UserPtr<uint8_t> vec) {
  const auto pages = TRY(t.mm->residency(addr, length));
  TRY(t.mem().copy_out(vec.addr, std::as_bytes(std::span(pages))));
  return 0;
}

SyscallResult madvise(Task& t, uint64_t addr, uint64_t length, int32_t advice) {
  TRY(t.mm->advise(*t.cpu, addr, length, advice));
  return 0;
}

SyscallResult mlock(Task& t, uint64_t addr, uint64_t length) {
  TRY(t.mm->set_locked(addr, length, true, t.memory_limits()));
  return 0;
}

SyscallResult mlock2(Task& t, uint64_t addr, uint64_t length, uint32_t flags) {
  if (flags & ~uint32_t(MLOCK_ONFAULT)) return Err(EINVAL);
  return mlock(t, addr, length);
}

SyscallResult munlock(Task& t, uint64_t addr, uint64_t length) {
  TRY(t.mm->set_locked(addr, length, false, t.memory_limits()));
  return 0;
}

SyscallResult mlockall(Task& t, int32_t flags) {
  if (flags == 0 || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT) {
    return Err(EINVAL);
  }
  TRY(t.mm->set_all_locked(flags & MCL_CURRENT, flags & MCL_FUTURE, t.memory_limits()));
  return 0;
}

SyscallResult munlockall(Task& t) {
  TRY(t.mm->set_all_locked(false, false, t.memory_limits()));
  return 0;
}

// Guest threads are host threads that stop at every call of ours, and the host runs barriers for a
// whole process: stopping at this call and returning is a full barrier for the caller only, so the
// expedited commands are made by the stub itself.
SyscallResult membarrier(Task& t, int32_t command, uint32_t flags, int32_t) {
  constexpr int kKnown =
      MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED |
      MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED |
      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE |
      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE;
  if (flags) return Err(EINVAL);
  if (command == MEMBARRIER_CMD_QUERY) return kKnown;
  if ((command & (command - 1)) || !(command & kKnown)) return Err(EINVAL);
  switch (command) {
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED:
    case MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE:
      if (!(t.mm->membarrier_registered & uint32_t(command << 1))) return Err(EPERM);
      TRY(t.mm->space().barrier(*t.cpu, command));
      return 0;
    case MEMBARRIER_CMD_GLOBAL:
    case MEMBARRIER_CMD_GLOBAL_EXPEDITED: TRY(t.mm->space().barrier(*t.cpu, command)); return 0;
    default: t.mm->membarrier_registered |= uint32_t(command); return 0;
  }
}

namespace {

enum class Direction { kRead, kWrite };

// One transfer between the caller's memory and another process's, in bounded pieces.
SyscallResult transfer(Task& t, PidNr pid, UserIov local, UserIov remote, uint64_t flags,
                       Direction direction) {
  if (flags) return Err(EINVAL);
  UserMemory mem = t.mem();
  UserBuffers mine = TRY(get_iovecs(mem, local));
  UserBuffers theirs = TRY(get_iovecs(mem, remote));
  if (mine.total() == 0) return 0;
  Ref<AddressSpace> other = TRY(memory_of_process(t, pid.n));
  GuestOut out(mem, mine);
  GuestIn in(mem, mine);
  std::vector<std::byte> piece(65536);
  size_t done = 0;
  for (const iovec& part : theirs.parts()) {
    uint64_t at = reinterpret_cast<uint64_t>(part.iov_base);
    size_t left = part.iov_len;
    while (left > 0) {
      const size_t room = direction == Direction::kRead ? out.size() : in.size();
      const size_t want = std::min({left, piece.size(), room});
      if (want == 0) return done;
      const std::span bytes(piece.data(), want);
      Result<size_t> n = 0;
      if (direction == Direction::kRead) {
        n = other->read(at, bytes);
        if (n) n = out.put(bytes.first(*n));
      } else {
        n = in.take(bytes);
        if (n) n = other->write(at, bytes.first(*n));
      }
      if (!n || *n == 0) return done ? SyscallResult(done) : Err(EFAULT);
      done += *n, at += *n, left -= *n;
      if (*n < want) return done;
    }
  }
  return done;
}

}  // namespace

SyscallResult process_vm_readv(Task& t, PidNr pid, UserIov local, UserIov remote, uint64_t flags) {
  return transfer(t, pid, local, remote, flags, Direction::kRead);
}

SyscallResult process_vm_writev(Task& t, PidNr pid, UserIov local, UserIov remote, uint64_t flags) {
  return transfer(t, pid, local, remote, flags, Direction::kWrite);
}

}  // namespace usk::sys
