// Starting the platform: the memory file, the first stub, its filter.
#include <fmt/format.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "arch/x86_64/xstate.h"
#include "host/auxv.h"
#include "host/confinement.h"
#include "host/cpu.h"
#include "host/file_io.h"
#include "host/machine.h"
#include "host/poll.h"
#include "host/process.h"
#include "host/shared_memory.h"
#include "host/trap_filter.h"
#include "host/vdso.h"
#include "platform/trap/stub_filter.h"
#include "platform/trap/trap_platform.h"

extern "C" const std::byte usk_blob_begin[], usk_blob_end[];

namespace usk::platform {

using namespace host;

namespace {

// What stubs may call without being asked. Each touches only the calling thread or its own guest
// memory; docs/decisions/0008 has the reasons.
constexpr uint32_t kAllowed[] = {SYS_rt_sigreturn, SYS_sched_yield, SYS_sigaltstack,
                                 SYS_rseq,         SYS_exit,        SYS_exit_group};
constexpr uint32_t kAsked[] = {USK_NR_NOTIFY,  SYS_clone, SYS_mremap, SYS_msync,
                               SYS_membarrier, SYS_close, SYS_prctl};
static_assert(kGuestEndOfLinux == USK_BLOB_BASE);

constexpr uint64_t kFsgsbase = 2;  // AT_HWCAP2: fs and gs bases may be written by user code.
// A stub waits this long for a polling kernel process before it sleeps.
constexpr uint64_t kStubSpinUs = 20;
// As long as it takes to wake an idle processor, or two that answer each other never come to it.
constexpr uint64_t kFutexSpinUs = 50;
constexpr int64_t kStartNs = 10'000'000'000;

}  // namespace

StubFilter trap_stub_filter() {
  return {trap_filter({.code = USK_BLOB_BASE,
                       .code_end = USK_BLOB_END,
                       .guest_start = kGuestStart,
                       .guest_end = kGuestEndOfLinux,
                       .files = USK_STUB_FILES,
                       .files_end = USK_STUB_FILES_END,
                       .areas = USK_AREAS,
                       .allowed = kAllowed,
                       .asked = kAsked}),
          USK_BLOB_BASE};
}

OrFailure<std::unique_ptr<Platform>> TrapPlatform::make() {
  if (kGuestEnd != kGuestEndOfLinux) return fail("this host's addresses end too early");
  if (!(host::auxiliary(AT_HWCAP2) & kFsgsbase)) {
    return fail("the processor or the host's kernel lacks FSGSBASE instructions");
  }
  if (xstate_size() > USK_AREA_BUFFER_SIZE - 2048) {
    return fail("the processor's extended state is too large");
  }
  std::unique_ptr<TrapPlatform> p(new TrapPlatform(TRY(AreaPool::make())));
  auto children = children_as_fd();
  if (!children) return fail(fmt::format("eventfd: {}", strerror(int(children.error()))));
  p->children_ = *children;
  TRY(p->start_zygote());
  return p;
}

// The program for seccomp(2), as it lies in the zygote's buffer.
OrFailure<void> TrapPlatform::write_filter(uint32_t index) {
  const auto filter = trap_stub_filter().program;
  constexpr uint64_t kAt = USK_AREAS + USK_AREA_BUFFER;
  const struct {
    uint16_t length;
    uint64_t filter;
  } program{uint16_t(filter.size()), kAt + 64};
  const auto bytes = std::as_bytes(std::span(filter));
  const auto buffer = areas_.buffer(index);
  if (bytes.size() + 64 > buffer.size()) return fail("the stubs' filter is too large");
  memcpy(buffer.data(), &program, sizeof program);
  memcpy(buffer.data() + 64, bytes.data(), bytes.size());
  return {};
}

// Nothing stays in the zygote but the blob, what it shares with the kernel process, and the host's
// vDSO. The filter comes last; its listener is taken over.
OrFailure<void> TrapPlatform::empty_zygote(TrapThread& zygote) {
  const pid_t pid = zygote.trap_space()->pid();
  Vdso vdso = vdso_of(pid);
  const uint64_t areas_end = USK_AREAS + uint64_t(USK_MAX_SLOTS) * USK_AREA_SIZE;
  if (vdso.start < areas_end) vdso = {USK_STUB_TOP, USK_STUB_TOP, 0};
  vdso_ = vdso;
  areas_.policy().host_clock_gettime = vdso.clock_gettime;
  const std::pair<uint64_t, uint64_t> holes[] = {{kGuestStart, USK_BLOB_BASE},
                                                 {USK_BLOB_END, USK_POLICY},
                                                 {USK_POLICY + kPageSize, USK_AREAS},
                                                 {USK_AREAS + USK_BLOCK_SIZE, vdso.start},
                                                 {vdso.end, USK_STUB_TOP}};
  std::vector<StubCall> calls;
  for (auto [from, to] : holes) {
    if (from < to) calls.push_back({SYS_munmap, {from, to - from}});
  }
  calls.push_back(
      {SYS_mmap,
       {USK_TABLE, USK_TABLE_SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, 0, USK_FILE_TABLE}});
  calls.push_back({SYS_mmap,
                   {USK_THUNKS, USK_THUNKS_END - USK_THUNKS, PROT_READ | PROT_EXEC,
                    MAP_SHARED | MAP_FIXED, 0, USK_FILE_THUNKS}});
  calls.push_back({SYS_madvise, {USK_AREAS, USK_BLOCK_SIZE, MADV_DONTFORK}});
  constexpr uint64_t kFlags =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  calls.push_back({SYS_seccomp, {SECCOMP_SET_MODE_FILTER, kFlags, USK_AREAS + USK_AREA_BUFFER}});
  const int64_t fd = zygote.start_calls(calls, monotonic_now() + kStartNs);
  if (fd < 0) {
    return fail(fmt::format("the host refuses a seccomp filter with notifications: {}",
                            strerror(int(-fd))));
  }
  auto listener = Listener::take(pid, int(fd));
  if (!listener) {
    return fail(fmt::format("cannot take over the stubs' notifications: {}",
                            strerror(int(listener.error()))));
  }
  listener_ = std::move(*listener);
  listener_.set_hand_over(hands_over_ = true);
  // The guest's descriptors are none of the host's.
  if (!await(zygote) || !zygote.call({SYS_close, {uint64_t(fd)}})) {
    return fail("the stub process does not obey");
  }
  return {};
}

OrFailure<void> TrapPlatform::start_zygote() {
  if (host::is_confined()) return fail("a confined process starts no program");
  auto image = memory_file("usk-stub", /*executable=*/true);
  const std::span bytes(usk_blob_begin, usk_blob_end);
  if (!image) return fail("cannot make a memory file for the stub process");
  if (auto n = host::pwrite(image->get(), bytes, 0); !n || *n != bytes.size()) {
    return fail("cannot write the stub's image");
  }
  zygote_.reset();
  auto space = make_ref<TrapSpace>(*this, make_ref<Patches>(thunks_));
  if (!space->take_first_slot(0)) return fail("no areas are left for a stub process");
  const uint32_t index = space->index_of(0);
  auto zygote = std::make_unique<TrapThread>(*this, space, 0, index);
  trap::Policy& policy = areas_.policy();
  policy.zygote_index = index;
  policy.xsave_mask = xstate_mask();
  policy.xsave_size = uint32_t(xstate_size());
  constexpr uint16_t kControlWord = 0x37f;
  constexpr uint32_t kMxcsr = 0x1f80;
  memcpy(policy.initial_fpu, &kControlWord, sizeof kControlWord);
  memcpy(policy.initial_fpu + 24, &kMxcsr, sizeof kMxcsr);
  policy.spin_cycles = uint32_t(kStubSpinUs * ticks_per_us());
  policy.futex_spin_cycles = machine().cpus > 1 ? uint32_t(kFutexSpinUs * ticks_per_us()) : 0;
  TRY(write_filter(index));
  const pid_t pid = TRY(spawn_stub(image->get(), areas_.fd()));
  space->set_pid(pid);
  name_thread(*zygote, pid);
  // Its first post is a plain word: there are no notifications yet.
  const int64_t give_up = monotonic_now() + kStartNs;
  while (!zygote->take_post() && !space->lost() && monotonic_now() < give_up) {
    wait_word(zygote->area().post, 0, 10'000'000);
    reap();
  }
  if (zygote->post() != trap::Post::kReady) {
    return fail("the stub process did not start: the host must allow executing a memfd");
  }
  TRY(empty_zygote(*zygote));
  zygote_ = std::move(zygote);
  return {};
}

}  // namespace usk::platform
