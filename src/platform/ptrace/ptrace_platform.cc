#include "platform/ptrace/ptrace_platform.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
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

constexpr uint64_t kForkFlags = CLONE_PARENT | CLONE_FILES | SIGCHLD;
constexpr uint64_t kThreadFlags =
    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;

}  // namespace

std::vector<sock_filter> ptrace_stub_filter() {
  return stub_filter(USK_STUB_BASE, USK_STUB_COMMANDS, kStubCalls);
}
uint64_t ptrace_stub_code() { return USK_STUB_BASE; }

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
  const std::span bytes(usk_stub_image_begin, usk_stub_image_end);
  if (auto n = host::pwrite(image->get(), bytes, 0); !n || *n != bytes.size()) {
    return fail("cannot write the stub's image");
  }
  const pid_t pid = TRY(spawn_traced(image->get(), channel_.far_end(), kTraceOptions));
  zygote_ = std::make_unique<PtraceThread>(*this, make_ref<PtraceSpace>(*this, pid), pid);
  // Nothing stays but the stub's own pages and, above them, the host's vDSO.
  Vdso vdso = vdso_of(pid);
  if (vdso.start < USK_STUB_END) vdso = {USK_HOST_TOP, USK_HOST_TOP, 0};
  vdso_ = vdso;
  std::vector<Command> commands = {
      {SYS_munmap, {kGuestStart, USK_STUB_BASE - kGuestStart, 0, 0, 0, 0}},
      {SYS_munmap, {USK_STUB_MESSAGE, vdso.start - USK_STUB_MESSAGE, 0, 0, 0, 0}},
      {SYS_mmap,
       {USK_STUB_MESSAGE, kPageSize, PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, uint64_t(-1), 0}},
  };
  if (vdso.end < USK_HOST_TOP) {
    commands.push_back({SYS_munmap, {vdso.end, USK_HOST_TOP - vdso.end, 0, 0, 0, 0}});
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
  } program{uint16_t(filter.size()), USK_STUB_MESSAGE + 64};
  PtraceSpace& space = *zygote_->ptrace_space();
  const bool written = space.write_stub(USK_STUB_MESSAGE, std::as_bytes(std::span(&program, 1))) &&
                       space.write_stub(USK_STUB_MESSAGE + 64, std::as_bytes(std::span(filter)));
  if (!written ||
      !zygote_->call(SYS_seccomp, {1 /* SECCOMP_SET_MODE_FILTER */, 0, USK_STUB_MESSAGE})) {
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
