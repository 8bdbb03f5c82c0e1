// Calls that the host must not make.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <initializer_list>

#include "attacks.h"

// Every number from the blob: nothing but the harmless few may do anything.
void forbidden_calls() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  static char path[] = "/etc/passwd";
  for (long nr = 0; nr < 600; nr++) {
    switch (nr) {
      // Allowed, and harmless: they touch this thread or this process's own memory.
      case SYS_futex:
      case SYS_rt_sigreturn:
      case SYS_sched_yield:
      case SYS_sigaltstack:
      case SYS_rseq:
      case SYS_exit:
      case SYS_exit_group:
      case SYS_munmap:
      case SYS_mprotect:
      case SYS_madvise: continue;
      // Linux 6.11 lets these two past every filter: the caller gets SIGILL.
      case 335:
      case 336: continue;
      default: break;
    }
    auto attempt = [=] {
      const long r = through_blob(gadget, nr, long(path));
      if (r != -ENOSYS && r != -EPERM) escaped("forbidden call", nr, r);
    };
    // What the stub may be ordered to call costs the process its life.
    const bool ordered = nr == SYS_mmap || nr == SYS_clone || nr == SYS_mremap || nr == SYS_msync ||
                         nr == SYS_membarrier || nr == SYS_close || nr == SYS_prctl;
    ordered ? in_child(attempt) : attempt();
  }
  const long dir = through_blob(gadget, SYS_openat, AT_FDCWD, long(path), O_RDONLY);
  if (dir >= 0) escaped("open", SYS_openat, dir);
}

// The calls with ranges: never outside of the guest's own addresses.
void own_pages_of_the_stub() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  struct {
    uint64_t at, length;
  } const ranges[] = {{kBlob, 4096},
                      {kAreas, kAreaSize},
                      {kBlob - 4096, 8192},
                      {0x10000, UINT64_MAX},
                      {kBlob - 4096, UINT64_MAX - 0x1000},
                      {0x60000, 4096},
                      {0x7ffff0000000, 4096},
                      {0x10000, kBlob - 0xf000},
                      {UINT64_MAX - 4095, 4096}};
  for (auto [at, length] : ranges) {
    for (long nr : {SYS_munmap, SYS_mprotect}) {
      const long r = through_blob(gadget, nr, at, length, PROT_READ | PROT_WRITE | PROT_EXEC);
      if (r == 0) escaped("range", nr, long(at));
    }
    const long m = through_blob(gadget, SYS_mmap, at, length, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (m > 0) escaped("range", SYS_mmap, m);
  }
  for (int fd = 0; fd < 20; fd++) {  // The descriptors that the stub has.
    in_child([=] {
      const long m = through_blob(gadget, SYS_mmap, 0x100000000, 4096, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_FIXED, fd, 0);
      if (m > 0) escaped("descriptor", SYS_mmap, fd);
    });
  }
  in_child([=] {
    const long c = through_blob(gadget, SYS_clone, SIGCHLD);
    if (c >= 0) escaped("clone", SYS_clone, c);
  });
}

void poisoned_advice() {
  const uint64_t gadget = syscall_gadget();
  if (!gadget) _exit(0);
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset(page, 1, 4096);
  for (long advice : {100, 101}) {  // MADV_HWPOISON, MADV_SOFT_OFFLINE
    const long r = through_blob(gadget, SYS_madvise, long(page), 4096, advice);
    if (r == 0) escaped("advice", SYS_madvise, advice);
  }
}

void old_calls() {
  long r;
  __asm__ volatile("int $0x80" : "=a"(r) : "a"(5), "b"("/etc/passwd"), "c"(0), "d"(0));
  if (r >= 0) escaped("int 0x80", 5, r);
}

void other_conventions() {
  long r;
  char path[] = "/etc/passwd";
  __asm__ volatile("syscall"
                   : "=a"(r)
                   : "a"(0x40000000 | SYS_open), "D"(path), "S"(0)
                   : "rcx", "r11", "memory");
  if (r >= 0) escaped("x32", SYS_open, r);
  auto* time_page = reinterpret_cast<long (*)(long*)>(0xffffffffff600400);
  if (time_page(nullptr) < 1000000) escaped("vsyscall", 0, 0);
}

// The same by way of the kernel: nothing of the guest's comes to lie beside the blob, or over it.
void edges_of_the_blob() {
  char* const page = static_cast<char*>(
      mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (uint64_t at : {kBlob - 4096, kBlob, kBlob + 4096, uint64_t(USK_BLOB_END),
                      uint64_t(USK_POLICY), uint64_t(USK_THUNKS), kAreas, uint64_t(USK_TABLE),
                      uint64_t(0x7ffffffff000), uint64_t(1) << 63, UINT64_MAX - 4095}) {
    auto* const p = reinterpret_cast<char*>(at);
    const bool beyond = at >= kBlob || at == USK_TABLE;
    for (size_t length : {size_t(4096), size_t(8192), size_t(1) << 30, SIZE_MAX - 4095}) {
      if (at == USK_TABLE && length > 8192) continue;  // This program is there.
      const bool over = beyond || length > kBlob - at;
      for (int more : {0, MAP_GROWSDOWN, MAP_POPULATE, MAP_STACK | MAP_NORESERVE}) {
        void* m = mmap(p, length, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | more, -1, 0);
        if (m != MAP_FAILED && over) escaped("map at the edge", SYS_mmap, long(at));
      }
      if (over && mprotect(p, length, PROT_READ | PROT_WRITE) == 0) {
        escaped("protect at the edge", SYS_mprotect, long(at));
      }
      if (over && madvise(p, length, MADV_DONTNEED) == 0 && length) {
        escaped("advise at the edge", SYS_madvise, long(at));
      }
      void* m = mremap(page, 4096, length, MREMAP_MAYMOVE | MREMAP_FIXED, p);
      if (m != MAP_FAILED && over) escaped("move to the edge", SYS_mremap, long(at));
      m = mremap(p, length, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, page);
      if (m != MAP_FAILED && over) escaped("move from the edge", SYS_mremap, long(at));
      munmap(p, length);
    }
    // What is copied there by the kernel.
    if (at >= kBlob && syscall(SYS_getcwd, p, 64) > 0) escaped("copy", SYS_getcwd, long(at));
  }
  if (*reinterpret_cast<volatile char*>(kBlob) == 0) _exit(1);
}

namespace {
const char* g_directory = "/nowhere";
pid_t g_victim = 0;
}  // namespace

void set_victim(pid_t pid, const char* directory) {
  g_victim = pid;
  g_directory = directory;
}

// Whatever could be seen outside: the observer has a process, files and a socket there.
void effects_on_the_host() {
  const uint64_t gadget = syscall_gadget();
  static char made[256], kept[256], other[256];
  snprintf(made, sizeof made, "%s/made", g_directory);
  snprintf(kept, sizeof kept, "%s/kept", g_directory);
  snprintf(other, sizeof other, "%s/other", g_directory);
  static sockaddr_un address{AF_UNIX, {}};
  snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", g_directory);
  static char* argv[] = {const_cast<char*>("touch"), made, nullptr};
  static iovec bytes{made, 8}, there{reinterpret_cast<void*>(0x400000), 8};
  const long p = long(made), k = long(kept), o = long(other), v = g_victim;
  const struct {
    long nr, args[6];
  } calls[] = {{SYS_kill, {v, SIGKILL}},
               {SYS_tkill, {v, SIGKILL}},
               {SYS_tgkill, {v, v, SIGKILL}},
               {SYS_rt_sigqueueinfo, {v, SIGKILL, k}},
               {SYS_pidfd_open, {v}},
               {SYS_ptrace, {PTRACE_SEIZE, v}},
               {SYS_process_vm_writev, {v, long(&bytes), 1, long(&there), 1}},
               {SYS_setpriority, {0, v, 19}},
               {SYS_sched_setaffinity, {v, 8, k}},
               {SYS_prlimit64, {v, 7, k}},
               {SYS_open, {p, O_CREAT | O_WRONLY, 0666}},
               {SYS_openat, {AT_FDCWD, p, O_CREAT | O_WRONLY, 0666}},
               {SYS_creat, {p, 0666}},
               {SYS_mkdir, {p, 0777}},
               {SYS_mknod, {p, S_IFIFO | 0666}},
               {SYS_symlink, {k, p}},
               {SYS_link, {k, p}},
               {SYS_rename, {k, o}},
               {SYS_unlink, {k}},
               {SYS_truncate, {k, 0}},
               {SYS_chmod, {k, 0}},
               {SYS_utimensat, {AT_FDCWD, k, 0, 0}},
               {SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
               {SYS_connect, {3, long(&address), sizeof address}},
               {SYS_write, {1, k, 4}},
               {SYS_ftruncate, {0, 0}},
               {SYS_pwrite64, {0, k, 4, 0}},
               {SYS_sendto, {0, k, 4, 0, long(&address), sizeof address}},
               {SYS_io_uring_setup, {4, k}},
               {SYS_bpf, {0, k, 8}},
               {SYS_unshare, {CLONE_NEWUSER}},
               {SYS_mount, {k, o, k}},
               {SYS_reboot, {long(0xfee1dead), 672274793, 0}},
               {SYS_vfork, {}},
               {SYS_fork, {}},
               {SYS_clone3, {k, 88}},
               {SYS_execveat, {AT_FDCWD, long("/usr/bin/touch"), long(argv), 0, 0}},
               {SYS_execve, {long("/usr/bin/touch"), long(argv), 0}}};
  for (const auto& c : calls) {
    in_child([&] {
      const long r = through_blob(gadget, c.nr, c.args[0], c.args[1], c.args[2], c.args[3],
                                  c.args[4], c.args[5]);
      if (r != -ENOSYS && r != -EPERM) escaped("effect", c.nr, r);
    });
  }
}

// What may only be read stays so, though the memory behind it is the kernel's to write.
void readonly_files() {
  const uint64_t gadget = syscall_gadget();
  char path[] = "/tmp/readonly.XXXXXX";
  const int made = mkstemp(path);
  const int fd = open(path, O_RDONLY);
  if (made < 0 || fd < 0 || ftruncate(made, 4096) < 0 || pwrite(made, "kept", 4, 0) != 4) _exit(1);
  unlink(path);
  const int sealed = memfd_create("sealed", MFD_ALLOW_SEALING);
  if (ftruncate(sealed, 4096) < 0 || pwrite(sealed, "kept", 4, 0) != 4) _exit(1);
  fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE);
  for (int file : {fd, sealed}) {
    void* m = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
    if (m == MAP_FAILED) continue;
    in_child([&] {
      const long r = through_blob(gadget, SYS_mprotect, long(m), 4096, PROT_READ | PROT_WRITE);
      if (r == 0) memcpy(m, "gone", 4);
    });
    char now[4];
    if (pread(file, now, 4, 0) == 4 && memcmp(now, "kept", 4) != 0) {
      escaped("a file that may only be read was written", SYS_mprotect, file);
    }
    in_child([&] { through_blob(gadget, SYS_madvise, long(m), 4096, MADV_REMOVE); });
    if (pread(file, now, 4, 0) == 4 && memcmp(now, "kept", 4) != 0) {
      escaped("a file that may only be read was punched", SYS_madvise, file);
    }
  }
}

namespace {
// Goes on at `code`, in the segment of 32-bit code.
void run_32(const unsigned char* code) {
  __asm__ volatile("push $0x23; push %0; lretq" ::"r"(uint64_t(code)) : "memory");
}
}  // namespace

// Each way that old code has into the host: open("/etc/passwd") in its convention.
void code_of_32_bits() {
  auto* page = static_cast<unsigned char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                                                MAP_SHARED | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
  if (page == MAP_FAILED) _exit(1);
  const uint32_t base = uint32_t(uint64_t(page)), path = base + 0x800, result = base + 0xc00;
  strcpy(reinterpret_cast<char*>(page + 0x800), "/etc/passwd");
  for (unsigned char way : {0x80, 0x34, 0x05}) {  // int 0x80, sysenter, syscall
    unsigned char* p = page;
    const auto byte = [&](unsigned char b) { *p++ = b; };
    const auto word = [&](uint32_t w) { memcpy(p, &w, 4), p += 4; };
    byte(0xbc), word(base + 0x2000);  // mov $stack, %esp
    byte(0xb8), word(5);              // mov $5, %eax: open
    byte(0xbb), word(path);           // mov $path, %ebx
    byte(0x31), byte(0xc9);           // xor %ecx, %ecx
    byte(way == 0x80 ? 0xcd : 0x0f), byte(way);
    byte(0xa3), word(result);  // mov %eax, result
    byte(0xeb), byte(0xfe);
    int32_t got = -1;
    memcpy(page + 0xc00, &got, 4);
    const pid_t child = fork();
    if (child == 0) run_32(page);
    usleep(20000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    memcpy(&got, page + 0xc00, 4);
    if (got >= 0) escaped("32-bit code", way, got);
  }
}
