// What the kernel itself takes for a system call, from its trap to its answer: Google Benchmark.
//   build/release/bench/call_micro [--benchmark_filter=stat]
// The platform is a pretence: a call is reported as soon as the one before it was answered, and
// guest memory is the benchmark's own. So it can be measured with tools that count instructions:
//   valgrind --tool=callgrind build/release/bench/call_micro --benchmark_filter=stat
#include <benchmark/benchmark.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "boot/start.h"
#include "fs/dev/memory_devices.h"
#include "fs/hostfs/hostfs.h"
#include "fs/overlay/overlay.h"
#include "fs/vfs/vfs_testing.h"
#include "kernel/ipc/ipc_namespace.h"
#include "kernel/kernel.h"
#include "kernel/task/clone.h"
#include "platform/counters.h"
#include "syscalls/syscalls.h"

namespace usk {
namespace {

using platform::Trap;

constexpr size_t kMemorySize = 1 << 20;

// Guest memory: the same addresses as here.
std::byte* memory() {
  static auto* at = static_cast<std::byte*>(
      mmap(reinterpret_cast<void*>(0x20000000), kMemorySize, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  return at;
}

class MicroSpace final : public platform::Space {
 public:
  using Thread = platform::Thread;
  Result<void> map(Thread&, const platform::Mapping&) override { return {}; }
  Result<void> unmap(Thread&, uint64_t, uint64_t) override { return {}; }
  Result<void> protect(Thread&, uint64_t, uint64_t, int) override { return {}; }
  Result<void> move(Thread&, uint64_t, uint64_t, uint64_t, uint64_t, int) override { return {}; }
  Result<void> advise(Thread&, uint64_t, uint64_t, int) override { return {}; }
  Result<void> sync(Thread&, uint64_t, uint64_t, int) override { return {}; }
  Result<size_t> read(uint64_t addr, std::span<std::byte> dst) override {
    if (!is_ours(addr, dst.size())) return Err(EFAULT);
    memcpy(dst.data(), reinterpret_cast<const void*>(addr), dst.size());
    return dst.size();
  }
  Result<size_t> write(uint64_t addr, std::span<const std::byte> src) override {
    if (!is_ours(addr, src.size())) return Err(EFAULT);
    memcpy(reinterpret_cast<void*>(addr), src.data(), src.size());
    return src.size();
  }
  Result<size_t> read_forced(uint64_t a, std::span<std::byte> d) override { return read(a, d); }
  Result<size_t> write_forced(uint64_t a, std::span<const std::byte> s) override {
    return write(a, s);
  }
  Result<uint32_t> compare_exchange(Thread&, uint64_t, uint32_t, uint32_t) override {
    return Err(EFAULT);
  }
  Result<void> barrier(Thread&, int) override { return {}; }
  Result<void> register_rseq(Thread&, uint64_t, uint32_t, int, uint32_t, When) override {
    return {};
  }
  Result<void> residency(uint64_t, std::span<uint8_t>) override { return Err(ENOMEM); }
  Result<FoundPages> find_pages(uint64_t, uint64_t, Pages, size_t) override { return Err(ENOSYS); }
  uint64_t resident_bytes() override { return 0; }

 private:
  static bool is_ours(uint64_t addr, size_t size) {
    const auto begin = reinterpret_cast<uint64_t>(memory());
    return addr >= begin && size <= kMemorySize && addr - begin <= kMemorySize - size;
  }
};

class MicroThread final : public platform::Thread {
 public:
  platform::Space& space() override { return *space_; }
  const Ref<MicroSpace>& space_ref() const { return space_; }
  Regs& regs() override { return regs_; }
  Result<std::vector<std::byte>> fpu_state() override { return Err(EIO); }
  Result<void> set_fpu_state(std::span<const std::byte>) override { return Err(EIO); }
  void resume(Mode) override { runs = true; }
  void interrupt() override {}
  uint64_t cpu_time_ns() override { return 0; }
  Result<void> set_affinity(const cpu_set_t&) override { return {}; }
  Result<void> set_debug_registers(const std::array<uint64_t, 4>&, uint64_t) override {
    return Err(EOPNOTSUPP);
  }
  uint64_t debug_status() override { return 0; }
  void set_debug_status(uint64_t) override {}
  Result<void> allow_tsc(bool) override { return {}; }

  bool runs = false;

 private:
  Ref<MicroSpace> space_ = make_ref<MicroSpace>();
  Regs regs_;
};

// Calls are reported `left` times, in turn.
class MicroPlatform final : public platform::Platform {
 public:
  std::string_view name() const override { return "micro"; }
  platform::Counters counters() override { return {}; }
  Result<platform::NewSpace> new_space() override { return Err(EAGAIN); }
  Result<platform::NewSpace> fork(platform::Thread&) override { return Err(EAGAIN); }
  Result<std::unique_ptr<platform::Thread>> new_thread(platform::Thread&) override {
    return Err(EAGAIN);
  }
  bool poll(int, Deadline, const OnTrap& on_trap) override {
    if (!thread->runs || left == 0) return false;
    left--;
    thread->runs = false;
    const Trap& trap = calls[next++ % calls.size()];
    on_trap(*thread, trap);
    return false;
  }

  MicroThread* thread = nullptr;
  std::vector<Trap> calls;
  size_t next = 0;
  uint64_t left = 0;
};

// A kernel with one process.
class Machine {
 public:
  Machine() : kernel_(std::unique_ptr<platform::Platform>(platform_), {}) {
    kernel_.hooks.invoke = invoke_syscall;
    register_memory_devices();
    auto lower = make_hostfs(*host::open_dir("/"), {});
    testing::World world(*make_overlay({*lower}, {}));
    ProcessSpec spec;
    spec.fds = make_ref<FdTable>();
    spec.fs = make_ref<FsState>(world.ctx.root, world.ctx.root, 022);
    spec.creds = world.ctx.creds;
    spec.ns.mounts = world.ctx.mounts;
    spec.ns.ipc = make_ipc_namespace(kernel_.root_user_ns, UINT64_MAX);
    spec.ns.pid_for_children = kernel_.root_pid_ns;
    spec.limits = default_limits(0);
    Ref<Task> init = *make_process(kernel_, spec);
    init->where = Task::Where::kGone;
    kernel_.init = init->group;
    start(*make_process(kernel_, spec));
  }

  // The result of one call.
  int64_t call(uint64_t nr, std::array<uint64_t, 6> args) {
    run({trap(nr, args)}, 1);
    return thread_->regs().result();
  }
  void run(std::vector<Trap> calls, uint64_t times) {
    platform_->calls = std::move(calls);
    platform_->next = 0;
    again(times);
  }
  void again(uint64_t times) {
    platform_->left = times;
    kernel_.run([this] { return platform_->left == 0 && thread_->runs; });
  }

  static Trap trap(uint64_t nr, std::array<uint64_t, 6> args) {
    Trap t{.kind = Trap::Kind::kSyscall};
    t.nr = nr;
    t.args = args;
    return t;
  }

 private:
  void start(Ref<Task> t) {
    auto thread = std::make_unique<MicroThread>();
    thread_ = platform_->thread = thread.get();
    t->mm = make_ref<AddressSpace>(thread_->space_ref());
    (void)t->mm->map(*thread_,
                     {.addr = reinterpret_cast<uint64_t>(memory()),
                      .length = kMemorySize,
                      .prot = PROT_READ | PROT_WRITE,
                      .flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED},
                     {});
    t->cpu = std::move(thread);
    t->cpu->owner = t.get();
    kernel_.scheduler.add(*t);
  }

  MicroPlatform* const platform_ = new MicroPlatform;
  MicroThread* thread_ = nullptr;
  Kernel kernel_;
};

Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

uint64_t guest(size_t offset) { return reinterpret_cast<uint64_t>(memory() + offset); }
constexpr size_t kPathAt = 0, kBufferAt = 8192;

uint64_t path(const char* text) {
  strcpy(reinterpret_cast<char*>(memory() + kPathAt), text);
  return guest(kPathAt);
}

uint64_t open_file(const char* name, uint64_t flags) {
  const int64_t fd = machine().call(SYS_open, {path(name), flags, 0600});
  if (fd < 0) abort();
  return uint64_t(fd);
}

void measure(benchmark::State& state, std::vector<Trap> calls) {
  const size_t n = calls.size();
  machine().run(std::move(calls), n);
  for (auto _ : state) machine().again(n);
}

template <class... A>
Trap trap(uint64_t nr, A... args) {
  return Machine::trap(nr, {uint64_t(args)...});
}

void getppid(benchmark::State& s) { measure(s, {trap(SYS_getppid)}); }
BENCHMARK(getppid);
void clock_gettime(benchmark::State& s) {
  measure(s, {trap(SYS_clock_gettime, CLOCK_MONOTONIC, guest(kBufferAt))});
}
BENCHMARK(clock_gettime);
void sigprocmask(benchmark::State& s) {
  measure(s, {trap(SYS_rt_sigprocmask, SIG_BLOCK, guest(kBufferAt), 0, 8)});
}
BENCHMARK(sigprocmask);

void stat(benchmark::State& s) {
  measure(s, {trap(SYS_newfstatat, AT_FDCWD, path("/etc/passwd"), guest(kBufferAt), 0)});
}
BENCHMARK(stat);
void fstat(benchmark::State& s) {
  measure(s, {trap(SYS_fstat, open_file("/etc/passwd", O_RDONLY), guest(kBufferAt))});
}
BENCHMARK(fstat);
void open_missing(benchmark::State& s) {
  measure(s, {trap(SYS_openat, AT_FDCWD, path("/usr/no-such-file"), O_RDONLY)});
}
BENCHMARK(open_missing);
void open_close(benchmark::State& s) {
  const uint64_t fd = open_file("/etc/passwd", O_RDONLY);
  machine().call(SYS_close, {fd});
  measure(s, {trap(SYS_openat, AT_FDCWD, path("/etc/passwd"), O_RDONLY), trap(SYS_close, fd)});
}
BENCHMARK(open_close);

void pread_4k(benchmark::State& s) {
  const uint64_t fd = open_file("/call-micro", O_RDWR | O_CREAT | O_TRUNC);
  machine().call(SYS_pwrite64, {fd, guest(kBufferAt), 4096, 0});
  measure(s, {trap(SYS_pread64, fd, guest(kBufferAt), 4096, 0)});
}
BENCHMARK(pread_4k);
void pread_4k_lower(benchmark::State& s) {
  const uint64_t fd = open_file("/bin/sh", O_RDONLY);
  measure(s, {trap(SYS_pread64, fd, guest(kBufferAt), 4096, 0)});
}
BENCHMARK(pread_4k_lower);
void pwrite_4k(benchmark::State& s) {
  const uint64_t fd = open_file("/call-micro", O_RDWR | O_CREAT | O_TRUNC);
  measure(s, {trap(SYS_pwrite64, fd, guest(kBufferAt), 4096, 0)});
}
BENCHMARK(pwrite_4k);

void pipe_write_read(benchmark::State& s) {
  machine().call(SYS_pipe2, {guest(kBufferAt), 0});
  int fds[2];
  memcpy(fds, memory() + kBufferAt, sizeof fds);
  measure(s, {trap(SYS_write, fds[1], guest(kBufferAt), 1),
              trap(SYS_read, fds[0], guest(kBufferAt), 1)});
}
BENCHMARK(pipe_write_read);

// The last: a filter stays. Of 300 instructions, nearly all of which compare the number.
void getppid_filtered(benchmark::State& s) {
  static std::vector<sock_filter> filter = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}};
  while (filter.size() < 291) filter.push_back({BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1000});
  while (filter.size() < 299) {
    const auto offset = uint32_t(16 + filter.size() % 8 * 4);
    filter.push_back({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset});
  }
  filter.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW});
  memcpy(memory() + kBufferAt, filter.data(), filter.size() * sizeof filter[0]);
  const uint64_t program[] = {filter.size(), guest(kBufferAt)};
  memcpy(memory() + kPathAt, program, sizeof program);
  if (machine().call(SYS_prctl, {PR_GET_SECCOMP}) == 0) {
    machine().call(SYS_prctl, {PR_SET_NO_NEW_PRIVS, 1});
    if (machine().call(SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0, guest(kPathAt)}) != 0) abort();
  }
  measure(s, {trap(SYS_getppid)});
}
BENCHMARK(getppid_filtered);

}  // namespace
}  // namespace usk

BENCHMARK_MAIN();
