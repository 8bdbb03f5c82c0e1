// Single calls: those a kernel answers from memory, file calls, memory, signals.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "bench.h"

using bench::must;
using bench::row;

namespace {

constexpr size_t kPage = 4096;

void identity() {
  row("getpid", [] { syscall(SYS_getpid); });
  row("gettid", [] { syscall(SYS_gettid); });
  row("getuid", [] { syscall(SYS_getuid); });
  row("getppid", [] { syscall(SYS_getppid); });
  row("clock_gettime-vdso", [] {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
  });
  row("clock_gettime-call", [] {
    timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  });
}

void files(const char* root_file) {
  struct stat info;
  must(stat(root_file, &info) == 0, root_file);
  row("stat-root", [&] { stat(root_file, &info); });
  row("open-close-root", [&] { close(open(root_file, O_RDONLY)); });
  row("open-missing", [] { open("/usr/no-such-file", O_RDONLY); });

  char name[] = "/tmp/bench.XXXXXX";
  int fd = mkstemp(name);
  must(fd >= 0, "mkstemp");
  unlink(name);
  static char block[kPage];
  must(pwrite(fd, block, kPage, 0) == ssize_t(kPage), "pwrite");
  row("pwrite-4k", [&] { must(pwrite(fd, block, kPage, 0) == ssize_t(kPage), "pwrite"); });
  row("pread-4k", [&] { must(pread(fd, block, kPage, 0) == ssize_t(kPage), "pread"); });
  row("fstat", [&] { fstat(fd, &info); });
  close(fd);
  int null = open("/dev/null", O_WRONLY);
  row("write-null", [&] { must(write(null, block, 1) == 1, "write"); });
  close(null);
}

void memory() {
  row("mmap-touch-munmap", [] {
    auto* area = static_cast<char*>(
        mmap(nullptr, 16 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    must(area != MAP_FAILED, "mmap");
    for (size_t i = 0; i < 16; ++i) static_cast<volatile char*>(area)[i * kPage] = 1;
    munmap(area, 16 * kPage);
  });
  constexpr size_t kBig = size_t{16} << 20;
  row("first-touch-16m", [] {
    auto* area = static_cast<char*>(
        mmap(nullptr, kBig, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    must(area != MAP_FAILED, "mmap");
    for (size_t at = 0; at < kBig; at += kPage) static_cast<volatile char*>(area)[at] = 1;
    munmap(area, kBig);
  });
  auto* page = static_cast<char*>(
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  row("mprotect", [&] {
    mprotect(page, kPage, PROT_READ);
    mprotect(page, kPage, PROT_READ | PROT_WRITE);
  });
}

void signals() {
  signal(SIGUSR1, [](int) {});
  row("signal-to-self", [] { raise(SIGUSR1); });
  sigset_t set;
  sigemptyset(&set);
  row("sigprocmask", [&] { sigprocmask(SIG_BLOCK, &set, nullptr); });
}

}  // namespace

int main(int argc, char** argv) {
  bench::choose_rows(argc, argv);
  identity();
  files("/etc/passwd");
  memory();
  signals();
  return 0;
}
