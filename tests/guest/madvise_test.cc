// madvise(2), mremap(2), msync(2), mincore(2), mlock(2), membarrier(2), process_vm_readv(2).
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kPage = 4096;
constexpr int kAnon = MAP_PRIVATE | MAP_ANONYMOUS;

char* map(size_t size, int protection = PROT_READ | PROT_WRITE, int flags = kAnon, int fd = -1) {
  return static_cast<char*>(MUST(mmap(nullptr, size, protection, flags, fd, 0)));
}

bool is_mapped(void* address) { return msync(address, kPage, MS_ASYNC) == 0; }

TEST(Madvise, DontneedZeroesPrivateMemory) {
  char* area = map(2 * kPage);
  memset(area, 'x', 2 * kPage);
  EXPECT_OK(madvise(area, kPage, MADV_DONTNEED));
  EXPECT_EQ(area[0], 0);
  EXPECT_EQ(area[kPage], 'x');
}

TEST(Madvise, DontneedReloadsAFile) {
  write_file("f", "hello");
  UniqueFd fd(MUST(open("f", O_RDWR)));
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get());
  area[0] = 'j';
  EXPECT_OK(madvise(area, kPage, MADV_DONTNEED));
  EXPECT_EQ(area[0], 'h');
}

TEST(Madvise, DontneedKeepsSharedMemory) {
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  area[0] = 'x';
  EXPECT_OK(madvise(area, kPage, MADV_DONTNEED));
  EXPECT_EQ(area[0], 'x');
}

TEST(Madvise, RemovePunchesAHole) {
  char* area = map(2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  memset(area, 'x', 2 * kPage);
  EXPECT_OK(madvise(area, kPage, MADV_REMOVE));
  EXPECT_EQ(area[0], 0);
  EXPECT_EQ(area[kPage], 'x');
  EXPECT_ERR(madvise(map(kPage), kPage, MADV_REMOVE), EINVAL);
}

TEST(Madvise, Hints) {
  char* area = map(4 * kPage);
  for (int advice : {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_FREE,
                     MADV_DONTDUMP, MADV_DODUMP, MADV_COLD, MADV_PAGEOUT}) {
    EXPECT_OK(madvise(area, kPage, advice));
  }
}

TEST(Madvise, Errors) {
  char* area = map(2 * kPage);
  EXPECT_ERR(madvise(area + 1, kPage, MADV_DONTNEED), EINVAL);
  EXPECT_ERR(madvise(area, kPage, 12345), EINVAL);
  EXPECT_OK(madvise(area, 0, MADV_DONTNEED));
  MUST(munmap(area + kPage, kPage));
  EXPECT_ERR(madvise(area, 2 * kPage, MADV_DONTNEED), ENOMEM);
}

TEST(Madvise, PopulateWrite) {
  char* area = map(4 * kPage);
  EXPECT_OK(madvise(area, 4 * kPage, 23));  // MADV_POPULATE_WRITE
  unsigned char resident[4] = {};
  EXPECT_OK(mincore(area, 4 * kPage, resident));
  EXPECT_EQ(resident[3] & 1, 1);
}

TEST(Mremap, ShrinksInPlace) {
  char* area = map(4 * kPage);
  area[0] = 'x';
  EXPECT_TRUE(mremap(area, 4 * kPage, kPage, 0) == area);
  EXPECT_EQ(area[0], 'x');
  EXPECT_FALSE(is_mapped(area + kPage));
}

TEST(Mremap, GrowsInPlaceWhenThereIsRoom) {
  char* area = map(4 * kPage);
  area[0] = 'x';
  MUST(munmap(area + kPage, 3 * kPage));
  EXPECT_TRUE(mremap(area, kPage, 4 * kPage, 0) == area);
  area[3 * kPage] = 'y';
  EXPECT_EQ(area[0], 'x');
}

TEST(Mremap, CannotGrowInPlaceIsEnomem) {
  char* area = map(4 * kPage);
  MUST(mprotect(area + kPage, kPage, PROT_NONE));
  EXPECT_ERR(mremap(area, kPage, 2 * kPage, 0), ENOMEM);
}

TEST(Mremap, Moves) {
  char* area = map(2 * kPage);
  memset(area, 'x', kPage);
  MUST(mprotect(area + kPage, kPage, PROT_NONE));
  char* moved = static_cast<char*>(MUST(mremap(area, kPage, 8 * kPage, MREMAP_MAYMOVE)));
  EXPECT_TRUE(moved != area);
  EXPECT_EQ(moved[kPage - 1], 'x');
  EXPECT_EQ(moved[8 * kPage - 1], 0);
  EXPECT_FALSE(is_mapped(area));
}

TEST(Mremap, FixedReplacesTheTarget) {
  char* from = map(kPage);
  char* to = map(2 * kPage);
  from[0] = 'f';
  to[0] = 't';
  to[kPage] = 'u';
  EXPECT_TRUE(mremap(from, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
  EXPECT_EQ(to[0], 'f');
  EXPECT_EQ(to[kPage], 'u');
  EXPECT_FALSE(is_mapped(from));
}

TEST(Mremap, DontunmapLeavesTheOldArea) {
  char* area = map(kPage);
  area[0] = 'x';
  char* moved = static_cast<char*>(
      MUST(mremap(area, kPage, kPage, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr)));
  EXPECT_EQ(moved[0], 'x');
  EXPECT_EQ(area[0], 0);
}

TEST(Mremap, SharedFileGrows) {
  UniqueFd fd(MUST(open("f", O_RDWR | O_CREAT, 0600)));
  MUST(ftruncate(fd.get(), 4 * kPage));
  EXPECT_EQ(pwrite(fd.get(), "z", 1, 3 * kPage), 1);
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  char* grown = static_cast<char*>(MUST(mremap(area, kPage, 4 * kPage, MREMAP_MAYMOVE)));
  EXPECT_EQ(grown[3 * kPage], 'z');
}

TEST(Mremap, OldSizeZeroCopiesASharedMapping) {
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
  char* copy = static_cast<char*>(MUST(mremap(area, 0, kPage, MREMAP_MAYMOVE)));
  area[0] = 'x';
  EXPECT_EQ(copy[0], 'x');
  EXPECT_ERR(mremap(map(kPage), 0, kPage, MREMAP_MAYMOVE), EINVAL);
}

TEST(Mremap, Errors) {
  char* area = map(2 * kPage);
  EXPECT_ERR(mremap(area + 1, kPage, kPage, 0), EINVAL);
  EXPECT_ERR(mremap(area, kPage, 0, 0), EINVAL);
  EXPECT_ERR(mremap(area, kPage, kPage, 0x40), EINVAL);
  EXPECT_ERR(mremap(area, kPage, kPage, MREMAP_FIXED, area), EINVAL);
  EXPECT_ERR(mremap(area, 2 * kPage, 2 * kPage, MREMAP_MAYMOVE | MREMAP_FIXED, area + kPage),
             EINVAL);
  MUST(munmap(area, 2 * kPage));
  EXPECT_ERR(mremap(area, kPage, 2 * kPage, MREMAP_MAYMOVE), EFAULT);
}

TEST(Msync, Works) {
  write_file("f", "hello");
  UniqueFd fd(MUST(open("f", O_RDWR)));
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  area[0] = 'j';
  EXPECT_OK(msync(area, kPage, MS_SYNC));
  EXPECT_OK(msync(area, kPage, MS_ASYNC | MS_INVALIDATE));
  EXPECT_ERR(msync(area, kPage, MS_SYNC | MS_ASYNC), EINVAL);
  EXPECT_ERR(msync(area, kPage, 0x40), EINVAL);
  EXPECT_ERR(msync(area + 1, kPage, MS_SYNC), EINVAL);
  MUST(munmap(area, kPage));
  EXPECT_ERR(msync(area, kPage, MS_SYNC), ENOMEM);
}

TEST(Mincore, TouchedPagesAreResident) {
  char* area = map(4 * kPage);
  area[0] = area[2 * kPage] = 1;
  unsigned char resident[4] = {};
  EXPECT_OK(mincore(area, 4 * kPage, resident));
  EXPECT_EQ(resident[0] & 1, 1);
  EXPECT_EQ(resident[2] & 1, 1);
  EXPECT_ERR(mincore(area + 1, kPage, resident), EINVAL);
  MUST(munmap(area + kPage, kPage));
  EXPECT_ERR(mincore(area, 2 * kPage, resident), ENOMEM);
}

TEST(Mlock, FamilyWorks) {
  char* area = map(4 * kPage);
  EXPECT_OK(mlock(area, kPage));
  EXPECT_OK(munlock(area, kPage));
  EXPECT_OK(mlock2(area, kPage, MLOCK_ONFAULT));
  EXPECT_ERR(mlock2(area, kPage, 0x10), EINVAL);
  EXPECT_OK(munlock(area, kPage));
  EXPECT_ERR(mlockall(0x10), EINVAL);
  EXPECT_OK(munlockall());
  MUST(munmap(area, 4 * kPage));
  EXPECT_ERR(mlock(area, kPage), ENOMEM);
}

TEST(Mlock, LimitHoldsForUsers) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  rlimit limit = {2 * kPage, 2 * kPage};
                  MUST(setrlimit(RLIMIT_MEMLOCK, &limit));
                  char* area = map(4 * kPage);
                  EXPECT_OK(mlock(area, 2 * kPage));
                  EXPECT_ERR(mlock(area, 4 * kPage), ENOMEM);
                }),
                0);
}

TEST(Mlock, ShownInStatus) {
  char* area = map(4 * kPage);
  MUST(mlock(area, 4 * kPage));
  EXPECT_GE(atoi(proc_field("/proc/self/status", "VmLck").c_str()), 16);
}

TEST(Membarrier, QueryAndPrivateExpedited) {
  long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);
  ASSERT_GE(commands, 0);
  EXPECT_TRUE(commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
  EXPECT_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
  EXPECT_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
  EXPECT_OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
  EXPECT_ERR(syscall(SYS_membarrier, 1 << 20, 0, 0), EINVAL);
  EXPECT_ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 99, 0), EINVAL);
}

TEST(ProcessVm, ReadsAndWritesAChild) {
  static char buffer[16];
  strcpy(buffer, "hello");
  int fds[2];
  MUST(pipe(fds));
  pid_t pid = fork_child([&] {
    strcpy(buffer, "child");
    EXPECT_EQ(write(fds[1], "x", 1), 1);
    while (*static_cast<volatile char*>(buffer) != 'C') usleep(500);
  });
  char byte;
  EXPECT_EQ(read(fds[0], &byte, 1), 1);
  char got[6] = {};
  iovec local = {got, 5}, remote = {buffer, 5};
  EXPECT_EQ(process_vm_readv(pid, &local, 1, &remote, 1, 0), 5);
  EXPECT_EQ(std::string(got), "child");
  local = {const_cast<char*>("C"), 1};
  remote = {buffer, 1};
  EXPECT_EQ(process_vm_writev(pid, &local, 1, &remote, 1, 0), 1);
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(std::string(buffer), "hello");
}

TEST(ProcessVm, Errors) {
  char byte;
  iovec local = {&byte, 1}, remote = {&byte, 1}, bad = {reinterpret_cast<void*>(8), 1};
  EXPECT_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 1);
  EXPECT_ERR(process_vm_readv(getpid(), &local, 1, &bad, 1, 0), EFAULT);
  EXPECT_ERR(process_vm_readv(1 << 22, &local, 1, &remote, 1, 0), ESRCH);
  EXPECT_ERR(process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
  EXPECT_ERR(process_vm_readv(getpid(), &local, 2000, &remote, 1, 0), EINVAL);
}

TEST(ProcessVm, StopsAtTheFirstBadPage) {
  char* pages = map(2 * kPage);
  MUST(munmap(pages + kPage, kPage));
  static char got[200];
  iovec local = {got, 200}, remote = {pages + kPage - 100, 200};
  ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  EXPECT_EQ(n, 100);
}

TEST(ProcMem, ReadsAndWritesOneself) {
  static char buffer[] = "hello";
  UniqueFd fd(MUST(open("/proc/self/mem", O_RDWR)));
  char got[6] = {};
  auto at = reinterpret_cast<off_t>(buffer);
  EXPECT_EQ(pread(fd.get(), got, 5, at), 5);
  EXPECT_EQ(std::string(got), "hello");
  EXPECT_EQ(pwrite(fd.get(), "j", 1, at), 1);
  EXPECT_EQ(std::string(buffer), "jello");
  EXPECT_ERR(pread(fd.get(), got, 1, 8), EIO);
}

}  // namespace
