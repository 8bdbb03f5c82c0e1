#include "platform/ptrace/ptrace_platform.h"

#include <elf.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "host/address_space.h"
#include "host/bpf.h"
#include "host/confinement.h"
#include "host/file_io.h"
#include "host/poll.h"
#include "host/process.h"
#include "host/vdso.h"
#include "platform/ptrace/stub_filter.h"
#include "platform/stub/layout.h"

extern "C" const std::byte usk_stub_image_begin[], usk_stub_image_end[];

namespace usk::platform {

using namespace host;

namespace {

constexpr uint32_t kTraceOptions =
    PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK;

// What a stub may ever call, and only from its own code. Each is harmless to the host with any
// arguments: they change only the stub itself.
constexpr uint32_t kStubCalls[] = {
    SYS_mmap,    SYS_munmap, SYS_mprotect, SYS_mremap, SYS_madvise, SYS_msync,
    SYS_recvmsg, SYS_close,  SYS_clone,    SYS_exit,   SYS_rseq,    SYS_membarrier,
};

constexpr int kStubOptions[] = {PR_SET_TSC};  // Of prctl(2).

constexpr uint64_t kForkFlags = CLONE_PARENT | CLONE_FILES | SIGCHLD;
constexpr uint64_t kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

// The stub, for where it is to be: its code runs anywhere, but is loaded where its headers say.
std::vector<std::byte> stub_image() {
  std::vector<std::byte> image(usk_stub_image_begin, usk_stub_image_end);
  Elf64_Ehdr header;
  memcpy(&header, image.data(), sizeof header);
  header.e_entry = in_stub(header.e_entry);
  memcpy(image.data(), &header, sizeof header);
  for (size_t i = 0; i < header.e_phnum; i++) {
    Elf64_Phdr segment;
    std::byte* const at = image.data() + header.e_phoff + i * sizeof segment;
    memcpy(&segment, at, sizeof segment);
    if (segment.p_type != PT_LOAD) continue;
    segment.p_vaddr = segment.p_paddr = in_stub(segment.p_vaddr);
    memcpy(at, &segment, sizeof segment);
  }
  return image;
}

}  // namespace

std::vector<sock_filter> ptrace_stub_filter() {
  return stub_filter(kGuestEnd, in_stub(USK_STUB_COMMANDS), kStubCalls, kStubOptions);
}
uint64_t ptrace_stub_code() { return kGuestEnd; }

CallStop call_stop_of_host() {
  return kernel_release() < 4008 ? CallStop::kSignal : CallStop::kSysemu;
}

OrFailure<std::unique_ptr<Platform>> PtracePlatform::make(CallStop call_stop) {
  prepare_child_waiting();
  host::Channel channel = TRY(host::Channel::make());
  std::unique_ptr<PtracePlatform> p(new PtracePlatform(std::move(channel), call_stop));
  TRY(p->start_zygote());
  return p;
}

PtracePlatform::~PtracePlatform() = default;

OrFailure<void> PtracePlatform::start_zygote() {
  if (host::is_confined()) return fail("a confined process starts no program");
  auto image = memory_file("usk-stub", /*executable=*/true);
  if (!image) return fail("cannot make a memory file for the stub process");
  const std::vector<std::byte> bytes = stub_image();
  if (auto n = host::pwrite(image->get(), bytes, 0); !n || *n != bytes.size()) {
    return fail("cannot write the stub's image");
  }
  const pid_t pid = TRY(spawn_traced(image->get(), channel_.far_end(), kTraceOptions));
  zygote_ = std::make_unique<PtraceThread>(*this, make_ref<PtraceSpace>(*this, pid), pid);
  // Nothing stays but the stub's own pages and, above them, the host's vDSO.
  Vdso vdso = vdso_of(pid);
  const uint64_t top = host::address_space_end(), message = in_stub(USK_STUB_MESSAGE);
  if (vdso.start < in_stub(USK_STUB_END)) vdso = {top, top, 0};
  vdso_ = vdso;
  std::vector<Command> commands = {
      {SYS_munmap, {kGuestStart, kGuestEnd - kGuestStart, 0, 0, 0, 0}},
      {SYS_munmap, {message, vdso.start - message, 0, 0, 0, 0}},
      {SYS_mmap,
       {message, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
        uint64_t(-1), 0}},
  };
  if (vdso.end < top) {
    commands.push_back({SYS_munmap, {vdso.end, top - vdso.end, 0, 0, 0, 0}});
  }
  if (auto r = zygote_->batch(commands); !r) {
    return fail(fmt::format("cannot empty the stub's address space (error {})", int(r.error())));
  }
  return install_filter();
}

OrFailure<void> PtracePlatform::install_filter() {
  const auto filter = ptrace_stub_filter();
  struct {
    uint16_t length;
    uint64_t filter;
  } program{uint16_t(filter.size()), in_stub(USK_STUB_MESSAGE) + 64};
  const uint64_t message = in_stub(USK_STUB_MESSAGE);
  PtraceSpace& space = *zygote_->ptrace_space();
  const bool written = space.write_stub(message, std::as_bytes(std::span(&program, 1))) &&
                       space.write_stub(message + 64, std::as_bytes(std::span(filter)));
  if (!written || !zygote_->call(SYS_seccomp, {1 /* SECCOMP_SET_MODE_FILTER */, 0, message})) {
    return fail("the host refuses seccomp filters: Usk needs CONFIG_SECCOMP_FILTER");
  }
  return {};
}

NewSpace PtracePlatform::wrap_space(pid_t pid) {
  auto space = make_ref<PtraceSpace>(*this, pid);
  auto thread = std::make_unique<PtraceThread>(*this, space, pid);
  return {space, std::move(thread)};
}

Result<NewSpace> PtracePlatform::new_space() {
  auto pid = zygote_->clone(kForkFlags);
  if (!pid && zygote_->is_lost()) {  // Killed from outside: begin anew.
    if (!start_zygote()) return Err(EAGAIN);
    pid = zygote_->clone(kForkFlags);
  }
  NewSpace s = wrap_space(TRY(pid));
  count.spaces_new++;
  Regs& r = s.thread->regs();
  r = Regs();
  r.cs = kUserCs, r.ss = kUserSs, r.eflags = kFlagsInitial;
  r.orig_rax = -1;
  return s;
}

Result<NewSpace> PtracePlatform::fork(Thread& by) {
  NewSpace s = wrap_space(TRY(static_cast<PtraceThread&>(by).clone(kForkFlags)));
  count.spaces_forked++;
  s.thread->regs() = by.regs();
  return s;
}

Result<std::unique_ptr<Thread>> PtracePlatform::new_thread(Thread& by) {
  auto& parent = static_cast<PtraceThread&>(by);
  const pid_t tid = TRY(parent.clone(kThreadFlags));
  count.threads++;
  auto thread = std::make_unique<PtraceThread>(*this, parent.ptrace_space(), tid);
  thread->regs() = by.regs();
  return thread;
}

// The host looks through all tracees for "any child": with many threads and few of them in the
// guest it is asked for those first, and for all others (ends of threads, kills from outside) now
// and then and whenever nothing else is to be had.
std::optional<WaitEvent> PtracePlatform::next_event() {
  constexpr size_t kFew = 4;
  constexpr unsigned kAllEvery = 64;
  if (in_guest_.size() <= kFew && ++rounds_ % kAllEvery != 0) {
    for (PtraceThread* t : in_guest_) {
      if (auto event = wait_traced(t->tid(), WaitMode::kPoll)) return event;
    }
  }
  return wait_traced(-1, WaitMode::kPoll);
}

bool PtracePlatform::poll_once(const OnTrap& on_trap) {
  auto event = next_event();
  if (!event) return false;
  auto it = threads_.find(event->tid);
  if (it == threads_.end()) return true;  // The end of a thread that was let go.
  PtraceThread& thread = *it->second;
  in_guest_.erase(&thread);
  if (auto trap = thread.classify(event->status)) on_trap(thread, *trap);
  return true;
}

bool PtracePlatform::poll(int fd, Deadline until, const OnTrap& on_trap) {
  for (const auto& [thread, trap] : std::exchange(reports_, {})) on_trap(*thread, trap);
  // A bounded round, so that descriptors and timers are looked at under load.
  for (int i = 0; i < 64; i++) {
    if (poll_once(on_trap)) continue;
    if (i > 0) return true;
    host::wait_for_child_or_fd(fd, until.ns);
    // Ended by a child or by the rest: take what is there and go.
    while (i++ < 64 && poll_once(on_trap)) {
    }
    return true;
  }
  return true;
}

}  // namespace usk::platform
