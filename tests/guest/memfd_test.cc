// memfd_create(2) and seals.
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

UniqueFd memfd(unsigned flags = MFD_ALLOW_SEALING) {
  return UniqueFd(MUST(memfd_create("name", flags)));
}

int seal(const UniqueFd& fd, int seals) { return fcntl(fd.get(), F_ADD_SEALS, seals); }

TEST(Memfd, IsAFile) {
  UniqueFd fd = memfd(MFD_CLOEXEC);
  EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(write(fd.get(), "hello", 5), 5);
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_EQ(info.st_size, 5);
  EXPECT_EQ(info.st_nlink, 0u);
  char path[64];
  ssize_t n = MUST(readlink(("/proc/self/fd/" + std::to_string(fd.get())).c_str(), path, 64));
  EXPECT_EQ(std::string(path, n), "/memfd:name (deleted)");
}

TEST(Memfd, Errors) {
  EXPECT_ERR(memfd_create("x", 0x100), EINVAL);
  std::string name(250, 'x');
  EXPECT_ERR(memfd_create(name.c_str(), 0), EINVAL);
  EXPECT_ERR(syscall(SYS_memfd_create, 8, 0), EFAULT);
}

TEST(Memfd, WithoutSealing) {
  UniqueFd fd = memfd(0);
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), F_SEAL_SEAL);
  EXPECT_ERR(seal(fd, F_SEAL_WRITE), EPERM);
}

TEST(Seals, ShrinkAndGrow) {
  UniqueFd fd = memfd();
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), 0);
  MUST(ftruncate(fd.get(), 100));
  EXPECT_OK(seal(fd, F_SEAL_SHRINK));
  EXPECT_ERR(ftruncate(fd.get(), 50), EPERM);
  EXPECT_OK(ftruncate(fd.get(), 200));
  EXPECT_OK(seal(fd, F_SEAL_GROW));
  EXPECT_ERR(ftruncate(fd.get(), 300), EPERM);
  EXPECT_ERR(pwrite(fd.get(), "x", 1, 250), EPERM);
  EXPECT_EQ(pwrite(fd.get(), "x", 1, 150), 1);
  EXPECT_EQ(fcntl(fd.get(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW);
}

TEST(Seals, Write) {
  UniqueFd fd = memfd();
  MUST(ftruncate(fd.get(), 4096));
  void* area = MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  EXPECT_ERR(seal(fd, F_SEAL_WRITE), EBUSY);
  MUST(munmap(area, 4096));
  EXPECT_OK(seal(fd, F_SEAL_WRITE));
  EXPECT_ERR(write(fd.get(), "x", 1), EPERM);
  EXPECT_ERR(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), EPERM);
  EXPECT_OK(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0));
}

TEST(Seals, FutureWriteKeepsOldMappings) {
  UniqueFd fd = memfd();
  MUST(ftruncate(fd.get(), 4096));
  auto* area = static_cast<char*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0)));
  EXPECT_OK(seal(fd, F_SEAL_FUTURE_WRITE));
  area[0] = 'x';
  EXPECT_ERR(write(fd.get(), "y", 1), EPERM);
  EXPECT_ERR(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0), EPERM);
}

TEST(Seals, SealForbidsMore) {
  UniqueFd fd = memfd();
  EXPECT_OK(seal(fd, F_SEAL_SEAL));
  EXPECT_ERR(seal(fd, F_SEAL_GROW), EPERM);
  EXPECT_ERR(seal(fd, 0x1000), EINVAL);
}

TEST(Seals, OtherFilesHaveNone) {
  UniqueFd null(MUST(open("/dev/null", O_RDWR)));
  EXPECT_ERR(fcntl(null.get(), F_GET_SEALS), EINVAL);
  EXPECT_ERR(seal(null, F_SEAL_WRITE), EINVAL);
}

TEST(Memfd, SharedByFork) {
  UniqueFd fd = memfd();
  MUST(ftruncate(fd.get(), 4096));
  auto* area = static_cast<char*>(
      MUST(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0)));
  EXPECT_EXITED(run_child([&] { area[0] = 'c'; }), 0);
  EXPECT_EQ(area[0], 'c');
  char byte;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, 'c');
}

}  // namespace
