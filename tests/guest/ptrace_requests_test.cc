// Requests of ptrace(2) that few tracers make, and files and calls that look into a process as one
// does: proc(5), process_vm_writev(2).
#include <asm/prctl.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "tests/guest/tracing.h"

namespace {

using namespace guest;

constexpr long kGetFpxRegs = 18, kSetFpxRegs = 19, kSingleBlock = 33, kSysemuSinglestep = 32;
constexpr long kArchPrctl = 30, kGetRseqConfiguration = 0x420f;

struct RseqConfiguration {
  uint64_t pointer;
  uint32_t size, signature, flags, pad;
};

TEST(PtraceRequests, TellWhereTheAreaOfRestartableSequencesIs) {
  alignas(32) static char area[32];
  constexpr uint32_t kOther = 0x12345678;
  constexpr int kUnregister = 1;
  RseqConfiguration c{};
  EXPECT_ERR(raw_ptrace(kGetRseqConfiguration, getpid(), sizeof c, &c), ESRCH);
  // What libc has registered, if it has.
  static RseqConfiguration of_libc;
  static int known[2];
  MUST(pipe(known));
  const pid_t pid = traced_child([] {
    (void)!read(known[0], &of_libc, sizeof of_libc);
    const RseqConfiguration& l = of_libc;
    if (l.pointer) syscall(SYS_rseq, l.pointer, l.size, kUnregister, l.signature);
    raise(SIGSTOP);
    syscall(SYS_rseq, area, sizeof area, 0, kOther);
    raise(SIGSTOP);
  });
  EXPECT_EQ(raw_ptrace(kGetRseqConfiguration, pid, sizeof c, &of_libc), long(sizeof c));
  EXPECT_EQ(raw_ptrace(kGetRseqConfiguration, pid, sizeof c.pointer, &c), long(sizeof c));
  EXPECT_EQ(c.pointer, of_libc.pointer);
  EXPECT_EQ(c.size, 0u);  // As much as there is room for.
  (void)!write(known[1], &of_libc, sizeof of_libc);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  EXPECT_EQ(raw_ptrace(kGetRseqConfiguration, pid, sizeof c, &c), long(sizeof c));
  EXPECT_EQ(c.pointer, 0u);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STOP(pid, SIGSTOP);
  raw_ptrace(kGetRseqConfiguration, pid, sizeof c, &c);
  EXPECT_EQ(c.pointer, reinterpret_cast<uint64_t>(area));
  EXPECT_EQ(c.size, uint32_t(sizeof area));
  EXPECT_EQ(c.signature, kOther);
  EXPECT_EQ(c.flags, 0u);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

// A processor without the branch trap, and Linux on one, stop at each instruction.
TEST(PtraceRequests, SingleBlockGoesOnToABranchAtMost) {
  const pid_t pid = traced_child([] {
    for (int left = 3; left > 0; left--) __asm__ volatile("");
    syscall(SYS_exit_group, 5);
  });
  int stops = 0, status;
  for (;; stops++) {
    ASSERT_EQ(raw_ptrace(kSingleBlock, pid, 0, 0), 0);
    status = next_status(pid);
    if (!WIFSTOPPED(status)) break;
    ASSERT_EQ(WSTOPSIG(status), SIGTRAP);
    ASSERT_LT(stops, 100'000);
  }
  EXPECT_GT(stops, 2);
  EXPECT_EQ(describe_stop(status), describe_stop(5 << 8));
}

// Single steps, but for calls, which the tracer makes.
TEST(PtraceRequests, SysemuSinglestepStepsAndEmulates) {
  const pid_t pid = traced_child([] {
    long made;
    __asm__ volatile("nop; nop; syscall; nop"
                     : "=a"(made)
                     : "a"(SYS_getpid)
                     : "rcx", "r11", "memory");
    __asm__ volatile("" ::"r"(made));
    // Not by libc: each step of it would be one here.
    __asm__ volatile("syscall" ::"a"(SYS_exit_group), "D"(made == 4242 ? 7 : 8));
  });
  bool answered = false;
  int status;
  for (int stops = 0;; stops++) {
    ASSERT_EQ(raw_ptrace(kSysemuSinglestep, pid, 0, 0), 0);
    status = next_status(pid);
    if (!WIFSTOPPED(status)) break;
    ASSERT_EQ(WSTOPSIG(status), SIGTRAP);
    ASSERT_LT(stops, 100'000);
    user_regs_struct r = get_regs(pid);
    if (answered && r.orig_rax == SYS_exit_group) break;
    if (r.orig_rax != SYS_getpid || answered) continue;
    EXPECT_EQ(long(r.rax), -ENOSYS);
    r.rax = 4242;
    set_regs(pid, r);
    answered = true;
  }
  EXPECT_TRUE(answered);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(get_regs(pid).rdi, 7u);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(PtraceRequests, OldFloatingPointRegistersAreForOldPrograms) {
  const pid_t pid = traced_child([] {});
  char room[512];
  EXPECT_ERR(raw_ptrace(kGetFpxRegs, pid, 0, room), EIO);
  EXPECT_ERR(raw_ptrace(kSetFpxRegs, pid, 0, room), EIO);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 0);
}

TEST(PtraceRequests, SegmentBases) {
  const pid_t pid = traced_child([] {
    unsigned long base = 0;
    syscall(SYS_arch_prctl, ARCH_GET_GS, &base);
    _exit(base == 0x12345000 ? 7 : 8);
  });
  unsigned long base = 1;
  EXPECT_OK(raw_ptrace(kArchPrctl, pid, &base, ARCH_GET_GS));
  EXPECT_EQ(base, 0u);
  EXPECT_OK(raw_ptrace(kArchPrctl, pid, &base, ARCH_GET_FS));
  EXPECT_EQ(base, get_regs(pid).fs_base);
  EXPECT_OK(raw_ptrace(kArchPrctl, pid, 0x12345000, ARCH_SET_GS));
  EXPECT_EQ(get_regs(pid).gs_base, 0x12345000u);
  EXPECT_ERR(raw_ptrace(kArchPrctl, pid, 0xffff800000000000, ARCH_SET_GS), EPERM);
  EXPECT_ERR(raw_ptrace(kArchPrctl, pid, &base, 1), EINVAL);
  raw_ptrace(PTRACE_CONT, pid, 0, 0);
  EXPECT_STATUS(pid, 7 << 8);
}

std::string file_of(pid_t pid, const char* name) {
  return read_file(("/proc/" + std::to_string(pid) + "/" + name).c_str());
}

TEST(ProcOfATask, TellsTheCallThatItWaitsIn) {
  int fds[2];
  MUST(pipe(fds));
  static char buffer[5];
  const pid_t pid = plain_child([&] { (void)!read(fds[0], buffer, sizeof buffer); });
  wait_until_blocked(pid);
  const std::string text = file_of(pid, "syscall");
  char want[64];
  snprintf(want, sizeof want, "0 %#x %#lx 0x5 ", unsigned(fds[0]), (unsigned long)buffer);
  EXPECT_EQ(text.substr(0, strlen(want)), std::string(want));
  EXPECT_EQ(read_file("/proc/self/syscall").substr(0, 2), std::string("0 "));
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
  EXPECT_EQ(read_file("/proc/self/wchan"), std::string("0"));
}

TEST(ProcOfATask, RunsWhileItRuns) {
  const pid_t pid = plain_child([] {
    for (;;) __asm__ volatile("");
  });
  EXPECT_EQ(file_of(pid, "syscall"), std::string("running\n"));
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

TEST(ProcOfATask, StackIsForThePrivileged) {
  if (has_capability(21)) {  // CAP_SYS_ADMIN
    const UniqueFd fd(MUST(open("/proc/self/stack", O_RDONLY)));
    char text[64];
    EXPECT_GE(read(fd.get(), text, sizeof text), 0);
  }
  EXPECT_EQ(run_child([] {
              become_unprivileged();
              MUST(prctl(PR_SET_DUMPABLE, 1));
              const UniqueFd fd(MUST(open("/proc/self/stack", O_RDONLY)));
              char text[64];
              EXPECT_ERR(read(fd.get(), text, sizeof text), EACCES);
            }),
            0);
}

TEST(ProcessVmWrite, ScattersAndGathers) {
  static char here[16] = "abcdefghijklmno", there[16] = "0123456789.....";
  int out[2], in[2];
  MUST(pipe(out));
  MUST(pipe(in));
  const pid_t pid = fork_child([&] {
    char go;
    (void)!write(out[1], "x", 1);
    (void)!read(in[0], &go, 1);
    EXPECT_EQ(std::string(there), std::string("abc3efgh89....."));
  });
  char ready;
  (void)!read(out[0], &ready, 1);
  const iovec local[] = {{here, 3}, {here + 4, 4}};
  const iovec remote[] = {{there, 2}, {there + 2, 1}, {there + 4, 4}};
  EXPECT_EQ(process_vm_writev(pid, local, 2, remote, 3, 0), 7);
  EXPECT_ERR(process_vm_writev(pid, local, 2, remote, 3, 1), EINVAL);
  EXPECT_EQ(process_vm_writev(pid, local, 0, remote, 3, 0), 0);
  (void)!write(in[1], "x", 1);
  EXPECT_STATUS(pid, 0);
  EXPECT_ERR(process_vm_writev(pid, local, 2, remote, 3, 0), ESRCH);
}

TEST(ProcessVmWrite, StopsWhereMemoryEnds) {
  char* const map = static_cast<char*>(
      MUST(mmap(nullptr, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  MUST(mprotect(map + 4096, 4096, PROT_READ));
  const pid_t pid = plain_child([] {
    for (;;) pause();
  });
  static char from[8192];
  const iovec local = {from, sizeof from}, remote = {map + 4000, 4096};
  EXPECT_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 96);
  const iovec only_read = {map + 4096, 8}, nowhere = {nullptr, 8};
  EXPECT_ERR(process_vm_writev(pid, &local, 1, &only_read, 1, 0), EFAULT);
  EXPECT_ERR(process_vm_writev(pid, &local, 1, &nowhere, 1, 0), EFAULT);
  kill(pid, SIGKILL);
  EXPECT_STATUS(pid, SIGKILL);
}

}  // namespace
