#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "host/file_io.h"
#include "host/process.h"
#include "platform/ptrace/ptrace_platform.h"
#include "platform/stub/layout.h"

namespace usk::platform {

using namespace host;

namespace {

PtraceThread& as_ptrace(Thread& t) { return static_cast<PtraceThread&>(t); }

// Ranges come checked from the area map; this is the last fence before the stub's own pages.
bool in_guest(uint64_t addr, uint64_t length) {
  return addr < kGuestEnd && length <= kGuestEnd - addr;
}

const uint64_t kMessage = in_stub(USK_STUB_MESSAGE);
constexpr int kReceivedFd = 1;  // The lowest free number: a stub holds only its channel, 0.

// A msghdr with room for one descriptor, as it lies in the stub's message page.
struct ReceiveMessage {
  msghdr header{};
  iovec data{};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  char byte = 0;

  ReceiveMessage() {
    header.msg_iov = reinterpret_cast<iovec*>(kMessage + offsetof(ReceiveMessage, data));
    header.msg_iovlen = 1;
    header.msg_control = reinterpret_cast<void*>(kMessage + offsetof(ReceiveMessage, control));
    header.msg_controllen = sizeof control;
    data.iov_base = reinterpret_cast<void*>(kMessage + offsetof(ReceiveMessage, byte));
    data.iov_len = 1;
  }
};

}  // namespace

PtraceSpace::~PtraceSpace() { kill_process(pid_, SIGKILL); }

Result<void> PtraceSpace::map(Thread& by, const Mapping& m) {
  if (!in_guest(m.addr, m.length)) return Err(ENOMEM);
  const uint64_t prot = uint64_t(m.prot), flags = uint64_t(m.flags) | MAP_FIXED;
  if (!m.fd) {
    TRY(as_ptrace(by).call(SYS_mmap,
                           {m.addr, m.length, prot, flags | MAP_ANONYMOUS, uint64_t(-1), 0}));
    return {};
  }
  const ReceiveMessage message;
  TRY(write_stub(kMessage, std::as_bytes(std::span(&message, 1))));
  TRY(platform_.channel().send(m.fd->get()));
  const Command commands[] = {
      {SYS_recvmsg, {0, kMessage, MSG_DONTWAIT, 0, 0, 0}},
      {SYS_mmap, {m.addr, m.length, prot, flags, uint64_t(kReceivedFd), m.offset}},
      {SYS_close, {uint64_t(kReceivedFd), 0, 0, 0, 0, 0}},
  };
  auto r = as_ptrace(by).batch(commands);
  if (!r) {
    platform_.channel().drain();
    (void)as_ptrace(by).call(SYS_close, {uint64_t(kReceivedFd), 0, 0, 0, 0, 0});
  }
  return r;
}

Result<void> PtraceSpace::unmap(Thread& by, uint64_t addr, uint64_t length) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(as_ptrace(by).call(SYS_munmap, {addr, length, 0, 0, 0, 0}));
  return {};
}

Result<void> PtraceSpace::protect(Thread& by, uint64_t addr, uint64_t length, int prot) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(as_ptrace(by).call(SYS_mprotect, {addr, length, uint64_t(prot), 0, 0, 0}));
  return {};
}

Result<void> PtraceSpace::move(Thread& by, uint64_t from, uint64_t length, uint64_t to,
                               uint64_t new_length, int flags) {
  if (!in_guest(from, length) || !in_guest(to, new_length)) return Err(EINVAL);
  TRY(as_ptrace(by).call(SYS_mremap, {from, length, new_length, uint64_t(flags), to, 0}));
  return {};
}

Result<void> PtraceSpace::advise(Thread& by, uint64_t addr, uint64_t length, int advice) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(as_ptrace(by).call(SYS_madvise, {addr, length, uint64_t(advice), 0, 0, 0}));
  return {};
}

Result<void> PtraceSpace::sync(Thread& by, uint64_t addr, uint64_t length, int flags) {
  if (!in_guest(addr, length)) return Err(EINVAL);
  TRY(as_ptrace(by).call(SYS_msync, {addr, length, uint64_t(flags), 0, 0, 0}));
  return {};
}

// The four copies below serve guest addresses only: the stub's own pages are nobody's to read or
// write through /proc/PID/mem, process_vm_writev(2) or a debugger. Cut at the end of the guest.
template <class Bytes>
static Result<Bytes> within_guest(uint64_t addr, Bytes bytes) {
  if (addr >= kGuestEnd) return Err(EFAULT);
  return bytes.first(std::min<uint64_t>(bytes.size(), kGuestEnd - addr));
}

Result<size_t> PtraceSpace::read(uint64_t addr, std::span<std::byte> dst) {
  auto n = process_read(pid_, addr, TRY(within_guest(addr, dst)));
  platform_.count.in_by_host++, platform_.count.in_by_host_bytes += n.value_or(0);
  return n;
}

Result<size_t> PtraceSpace::write(uint64_t addr, std::span<const std::byte> src) {
  auto n = process_write(pid_, addr, TRY(within_guest(addr, src)));
  platform_.count.out_by_host++, platform_.count.out_by_host_bytes += n.value_or(0);
  return n;
}

Result<void> PtraceSpace::write_stub(uint64_t addr, std::span<const std::byte> src) {
  auto n = host::pwrite(TRY(memory_fd()), src, addr);
  if (!n || *n != src.size()) return Err(EFAULT);
  return {};
}

Result<int> PtraceSpace::memory_fd() {
  if (!memory_) memory_ = TRY(open_process_memory(pid_));
  return memory_.get();
}

Result<size_t> PtraceSpace::read_forced(uint64_t addr, std::span<std::byte> dst) {
  auto n = host::pread(TRY(memory_fd()), TRY(within_guest(addr, dst)), addr);
  if (!n || *n == 0) return Err(EFAULT);
  return n;
}

Result<size_t> PtraceSpace::write_forced(uint64_t addr, std::span<const std::byte> src) {
  auto n = host::pwrite(TRY(memory_fd()), TRY(within_guest(addr, src)), addr);
  if (!n || *n == 0) return Err(EFAULT);
  return n;
}

Result<uint32_t> PtraceSpace::compare_exchange(Thread& by, uint64_t addr, uint32_t expected,
                                               uint32_t desired) {
  if (!in_guest(addr, sizeof(uint32_t))) return Err(EFAULT);
  return as_ptrace(by).compare_exchange(addr, expected, desired);
}

Result<void> PtraceSpace::barrier(Thread& by, int command) {
  PtraceThread& thread = as_ptrace(by);
  // The host wants a registration first; it is one for the whole process and kept.
  if (command != MEMBARRIER_CMD_GLOBAL && !(barriers_ & command)) {
    TRY(thread.call(SYS_membarrier, {uint64_t(command) << 1, 0, 0, 0, 0, 0}));
    barriers_ |= command;
  }
  TRY(thread.call(SYS_membarrier, {uint64_t(command), 0, 0, 0, 0, 0}));
  return {};
}

Result<void> PtraceSpace::register_rseq(Thread& by, uint64_t addr, uint32_t length, int flags,
                                        uint32_t signature, When /*when*/) {
  if (!in_guest(addr, length)) return Err(EFAULT);
  TRY(as_ptrace(by).call(SYS_rseq, {addr, length, uint64_t(flags), signature, 0, 0}));
  return {};
}

Result<void> PtraceSpace::residency(uint64_t addr, std::span<uint8_t> pages) {
  return pagemap_.residency(pid_, addr, pages);
}

Result<Space::FoundPages> PtraceSpace::find_pages(uint64_t start, uint64_t end, Pages which,
                                                  size_t most) {
  return pagemap_.find(pid_, start, end, which == Pages::kOwn, most);
}

uint64_t PtraceSpace::resident_bytes() {
  auto usage = process_usage(pid_);
  return usage ? usage->resident_pages * kPageSize : 0;
}

}  // namespace usk::platform
