// read(2), write(2) and relatives on files: offsets, vectors, holes, truncate, fallocate, copies.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

UniqueFd new_file(const char* name, std::string_view content = "", int flags = 0) {
  write_file(name, content);
  return UniqueFd(MUST(open(name, O_RDWR | flags)));
}

off_t size_of(const UniqueFd& fd) {
  struct stat info;
  MUST(fstat(fd.get(), &info));
  return info.st_size;
}

TEST(ReadWrite, OffsetMoves) {
  UniqueFd fd = new_file("f", "hello world");
  char buffer[16] = {};
  EXPECT_EQ(read(fd.get(), buffer, 5), 5);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 5);
  EXPECT_EQ(read(fd.get(), buffer, 16), 6);
  EXPECT_EQ(read(fd.get(), buffer, 16), 0);
  EXPECT_EQ(read(fd.get(), buffer, 0), 0);
}

TEST(ReadWrite, SeekForms) {
  UniqueFd fd = new_file("f", "hello");
  EXPECT_EQ(lseek(fd.get(), -2, SEEK_END), 3);
  EXPECT_EQ(lseek(fd.get(), 100, SEEK_SET), 100);
  EXPECT_ERR(lseek(fd.get(), -1, SEEK_SET), EINVAL);
  EXPECT_ERR(lseek(fd.get(), 0, 99), EINVAL);
  EXPECT_ERR(lseek(999, 0, SEEK_SET), EBADF);
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(lseek(fds[0], 0, SEEK_SET), ESPIPE);
}

TEST(ReadWrite, WritingPastTheEndLeavesZeroes) {
  UniqueFd fd = new_file("f", "ab");
  EXPECT_EQ(pwrite(fd.get(), "z", 1, 5), 1);
  EXPECT_EQ(read_file("f"), std::string("ab\0\0\0z", 6));
}

TEST(ReadWrite, PreadAndPwriteLeaveTheOffset) {
  UniqueFd fd = new_file("f", "hello");
  char buffer[2];
  EXPECT_EQ(pread(fd.get(), buffer, 2, 3), 2);
  EXPECT_EQ(std::string(buffer, 2), "lo");
  EXPECT_EQ(pwrite(fd.get(), "J", 1, 0), 1);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 0);
  EXPECT_ERR(pread(fd.get(), buffer, 1, -1), EINVAL);
  EXPECT_EQ(pread(fd.get(), buffer, 1, 1000), 0);
}

TEST(ReadWrite, Vectors) {
  UniqueFd fd = new_file("f");
  iovec parts[3] = {{const_cast<char*>("ab"), 2}, {nullptr, 0}, {const_cast<char*>("cde"), 3}};
  EXPECT_EQ(writev(fd.get(), parts, 3), 5);
  char a[3] = {}, b[3] = {};
  iovec into[2] = {{a, 2}, {b, 2}};
  EXPECT_EQ(preadv(fd.get(), into, 2, 1), 4);
  EXPECT_EQ(std::string(a) + b, "bcde");
  EXPECT_EQ(pwritev(fd.get(), parts, 1, 10), 2);
  EXPECT_EQ(readv(fd.get(), into, 0), 0);
  EXPECT_ERR(writev(fd.get(), parts, -1), EINVAL);
  EXPECT_ERR(writev(fd.get(), parts, 1025), EINVAL);
  iovec negative = {a, static_cast<size_t>(-1)};
  EXPECT_ERR(readv(fd.get(), &negative, 1), EINVAL);
}

TEST(ReadWrite, Preadv2Flags) {
  UniqueFd fd = new_file("f", "hello");
  char a[5];
  iovec into = {a, 5};
  EXPECT_EQ(preadv2(fd.get(), &into, 1, 0, 0), 5);
  EXPECT_EQ(preadv2(fd.get(), &into, 1, -1, 0), 5);  // At the offset, and moves it.
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 5);
  EXPECT_ERR(preadv2(fd.get(), &into, 1, 0, 0x10000), EOPNOTSUPP);
  iovec from = {const_cast<char*>("!"), 1};
  EXPECT_EQ(pwritev2(fd.get(), &from, 1, 0, RWF_APPEND), 1);
  EXPECT_EQ(read_file("f"), "hello!");
}

TEST(ReadWrite, LargeTransfers) {
  std::string data(3 << 20, 'x');
  for (size_t i = 0; i < data.size(); i += 4096) data[i] = static_cast<char>(i >> 12);
  UniqueFd fd = new_file("f");
  EXPECT_EQ(write(fd.get(), data.data(), data.size()), ssize_t(data.size()));
  EXPECT_TRUE(read_file("f") == data);
}

TEST(Truncate, ShrinksAndGrows) {
  UniqueFd fd = new_file("f", "hello");
  EXPECT_OK(ftruncate(fd.get(), 2));
  EXPECT_EQ(read_file("f"), "he");
  EXPECT_OK(truncate("f", 4));
  EXPECT_EQ(read_file("f"), std::string("he\0\0", 4));
  EXPECT_ERR(ftruncate(fd.get(), -1), EINVAL);
  EXPECT_ERR(truncate("missing", 0), ENOENT);
  EXPECT_ERR(truncate(".", 0), EISDIR);
  UniqueFd readable(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(ftruncate(readable.get(), 0), EINVAL);
}

TEST(Holes, SeekDataAndHole) {
  UniqueFd fd = new_file("f");
  MUST(ftruncate(fd.get(), 1 << 20));
  EXPECT_EQ(pwrite(fd.get(), "x", 1, 512 * 1024), 1);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_HOLE), 0);
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_DATA), 512 * 1024);
  EXPECT_EQ(lseek(fd.get(), 512 * 1024, SEEK_HOLE), 512 * 1024 + 4096);
  EXPECT_ERR(lseek(fd.get(), 600 * 1024, SEEK_DATA), ENXIO);
  EXPECT_ERR(lseek(fd.get(), 2 << 20, SEEK_HOLE), ENXIO);
}

TEST(Holes, BlocksAreCounted) {
  UniqueFd fd = new_file("f");
  MUST(ftruncate(fd.get(), 100 << 20));
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_EQ(info.st_size, 100 << 20);
  EXPECT_LT(info.st_blocks, 1000);
}

TEST(Fallocate, AllocateKeepAndPunch) {
  UniqueFd fd = new_file("f", std::string(16384, 'x'));
  EXPECT_OK(fallocate(fd.get(), 0, 0, 32768));
  EXPECT_EQ(size_of(fd), 32768);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_KEEP_SIZE, 0, 65536));
  EXPECT_EQ(size_of(fd), 32768);
  EXPECT_OK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
  char byte = 1;
  EXPECT_EQ(pread(fd.get(), &byte, 1, 5000), 1);
  EXPECT_EQ(byte, 0);
  EXPECT_EQ(pread(fd.get(), &byte, 1, 9000), 1);
  EXPECT_EQ(byte, 'x');
}

TEST(Fallocate, Errors) {
  UniqueFd fd = new_file("f", "x");
  EXPECT_ERR(fallocate(fd.get(), 0, 0, 0), EINVAL);
  EXPECT_ERR(fallocate(fd.get(), 0, -1, 10), EINVAL);
  EXPECT_ERR(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
  UniqueFd readable(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(fallocate(readable.get(), 0, 0, 10), EBADF);
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(fallocate(fds[1], 0, 0, 10), ESPIPE);
}

TEST(Sendfile, FileToFileAndPipe) {
  UniqueFd from = new_file("a", "hello world");
  UniqueFd to = new_file("b");
  off_t offset = 6;
  EXPECT_EQ(sendfile(to.get(), from.get(), &offset, 100), 5);
  EXPECT_EQ(offset, 11);
  EXPECT_EQ(lseek(from.get(), 0, SEEK_CUR), 0);
  EXPECT_EQ(read_file("b"), "world");
  int fds[2];
  MUST(pipe(fds));
  EXPECT_EQ(sendfile(fds[1], from.get(), nullptr, 5), 5);
  EXPECT_EQ(lseek(from.get(), 0, SEEK_CUR), 5);
  char buffer[5];
  EXPECT_EQ(read(fds[0], buffer, 5), 5);
  EXPECT_ERR(sendfile(to.get(), fds[0], nullptr, 5), EINVAL);
}

TEST(CopyFileRange, CopiesAndChecks) {
  UniqueFd from = new_file("a", "hello world");
  UniqueFd to = new_file("b");
  off_t in = 6, out = 2;
  EXPECT_EQ(copy_file_range(from.get(), &in, to.get(), &out, 100, 0), 5);
  EXPECT_EQ(in, 11);
  EXPECT_EQ(out, 7);
  EXPECT_EQ(read_file("b"), std::string("\0\0world", 7));
  EXPECT_EQ(copy_file_range(from.get(), nullptr, to.get(), nullptr, 0, 0), 0);
  EXPECT_ERR(copy_file_range(from.get(), nullptr, to.get(), nullptr, 1, 1), EINVAL);
  off_t same_in = 0, same_out = 2;
  EXPECT_ERR(copy_file_range(from.get(), &same_in, from.get(), &same_out, 5, 0), EINVAL);
  UniqueFd append(MUST(open("b", O_WRONLY | O_APPEND)));
  EXPECT_ERR(copy_file_range(from.get(), &in, append.get(), nullptr, 1, 0), EBADF);
}

TEST(Splice, BetweenFileAndPipe) {
  UniqueFd from = new_file("a", "hello world");
  UniqueFd to = new_file("b");
  int fds[2];
  MUST(pipe(fds));
  loff_t offset = 6;
  EXPECT_EQ(splice(from.get(), &offset, fds[1], nullptr, 100, 0), 5);
  EXPECT_EQ(offset, 11);
  EXPECT_EQ(splice(fds[0], nullptr, to.get(), nullptr, 100, 0), 5);
  EXPECT_EQ(read_file("b"), "world");
  EXPECT_ERR(splice(fds[0], nullptr, to.get(), nullptr, 1, SPLICE_F_NONBLOCK), EAGAIN);
  EXPECT_ERR(splice(from.get(), nullptr, to.get(), nullptr, 1, 0), EINVAL);
  EXPECT_ERR(splice(fds[0], &offset, to.get(), nullptr, 1, 0), ESPIPE);
}

TEST(Splice, TeeDuplicates) {
  int a[2], b[2];
  MUST(pipe(a));
  MUST(pipe(b));
  EXPECT_EQ(write(a[1], "hello", 5), 5);
  EXPECT_EQ(tee(a[0], b[1], 100, 0), 5);
  char buffer[5];
  EXPECT_EQ(read(a[0], buffer, 5), 5);
  EXPECT_EQ(read(b[0], buffer, 5), 5);
  EXPECT_EQ(std::string(buffer, 5), "hello");
  EXPECT_ERR(tee(a[0], a[1], 1, 0), EINVAL);
}

TEST(Splice, VmsplicePutsMemoryInAPipe) {
  int fds[2];
  MUST(pipe(fds));
  iovec part = {const_cast<char*>("hello"), 5};
  EXPECT_EQ(vmsplice(fds[1], &part, 1, 0), 5);
  char buffer[5];
  EXPECT_EQ(read(fds[0], buffer, 5), 5);
  EXPECT_EQ(std::string(buffer, 5), "hello");
}

TEST(Sync, FamilyWorks) {
  UniqueFd fd = new_file("f", "x");
  EXPECT_OK(fsync(fd.get()));
  EXPECT_OK(fdatasync(fd.get()));
  EXPECT_OK(sync_file_range(fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE));
  EXPECT_ERR(sync_file_range(fd.get(), 0, 0, 0x40), EINVAL);
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(fsync(fds[0]), EINVAL);
  EXPECT_ERR(fsync(999), EBADF);
  EXPECT_OK(posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL));
  EXPECT_OK(readahead(fd.get(), 0, 100));
}

TEST(ReadWrite, SharedOffsetIsAtomic) {
  UniqueFd fd = new_file("f");
  auto append = [&] {
    for (int i = 0; i < 200; ++i) EXPECT_EQ(write(fd.get(), "0123456789", 10), 10);
  };
  {
    Thread a(append), b(append);
  }
  EXPECT_EQ(size_of(fd), 4000);
}

}  // namespace
