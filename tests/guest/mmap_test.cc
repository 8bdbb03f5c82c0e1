// mmap(2), munmap(2), mprotect(2), brk(2) and what /proc/self/maps says of them.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kPage = 4096;
constexpr int kAnon = MAP_PRIVATE | MAP_ANONYMOUS;

char* map(size_t size, int protection = PROT_READ | PROT_WRITE, int flags = kAnon, int fd = -1,
          off_t offset = 0, void* hint = nullptr) {
  return static_cast<char*>(MUST(mmap(hint, size, protection, flags, fd, offset)));
}

// The line of /proc/self/maps that holds an address, or "".
std::string area_of(const void* address) {
  std::string maps = read_file("/proc/self/maps");
  auto at = reinterpret_cast<unsigned long>(address);
  for (size_t begin = 0; begin < maps.size();) {
    size_t end = maps.find('\n', begin);
    std::string line = maps.substr(begin, end - begin);
    unsigned long low, high;
    if (sscanf(line.c_str(), "%lx-%lx", &low, &high) == 2 && low <= at && at < high) return line;
    begin = end + 1;
  }
  return "";
}

bool is_mapped(const void* address) { return !area_of(address).empty(); }

std::string protection_of(const void* address) {
  std::string line = area_of(address);
  return line.empty() ? "" : line.substr(line.find(' ') + 1, 4);
}

UniqueFd file_of(const char* name, std::string_view content) {
  write_file(name, content);
  return UniqueFd(MUST(open(name, O_RDWR)));
}

TEST(Mmap, AnonymousIsZero) {
  char* area = map(3 * kPage);
  for (size_t i = 0; i < 3 * kPage; i += 512) EXPECT_EQ(area[i], 0);
  area[0] = area[3 * kPage - 1] = 1;
}

TEST(Mmap, BadArguments) {
  EXPECT_ERR(mmap(nullptr, 0, PROT_READ, kAnon, -1, 0), EINVAL);
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, -1, 0), EBADF);
  EXPECT_ERR(mmap(nullptr, 1ul << 62, PROT_READ, kAnon, -1, 0), ENOMEM);
  EXPECT_ERR(mmap(reinterpret_cast<void*>(1), kPage, PROT_READ, kAnon | MAP_FIXED, -1, 0), EINVAL);
  UniqueFd fd = file_of("f", "x");
  EXPECT_ERR(
      reinterpret_cast<void*>(syscall(SYS_mmap, 0, kPage, PROT_READ, MAP_PRIVATE, fd.get(), 5)),
      EINVAL);
}

TEST(Mmap, FileAccessModes) {
  write_file("f", "content");
  UniqueFd readable(MUST(open("f", O_RDONLY)));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, readable.get(), 0), EACCES);
  EXPECT_OK(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, readable.get(), 0));
  UniqueFd writable(MUST(open("f", O_WRONLY)));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, writable.get(), 0), EACCES);
  UniqueFd path(MUST(open("f", O_PATH)));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, path.get(), 0), EBADF);
  UniqueFd directory(MUST(open(".", O_RDONLY)));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, directory.get(), 0), ENODEV);
  int fds[2];
  MUST(pipe(fds));
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE, fds[0], 0), ENODEV);
}

TEST(Mmap, SharedFileIsTheFile) {
  UniqueFd fd = file_of("f", "hello");
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  EXPECT_EQ(std::string(area), "hello");
  area[0] = 'j';
  EXPECT_EQ(read_file("f"), "jello");
  EXPECT_EQ(pwrite(fd.get(), "H", 1, 0), 1);
  EXPECT_EQ(area[0], 'H');
  EXPECT_EQ(area[10], 0);  // Beyond the end of the file, within its last page.
}

TEST(Mmap, PrivateFileIsACopy) {
  UniqueFd fd = file_of("f", "hello");
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get());
  area[0] = 'j';
  EXPECT_EQ(read_file("f"), "hello");
  EXPECT_EQ(area[0], 'j');
}

TEST(Mmap, FileOffset) {
  UniqueFd fd = file_of("f", std::string(kPage, 'a') + std::string(kPage, 'b'));
  char* area = map(kPage, PROT_READ, MAP_PRIVATE, fd.get(), kPage);
  EXPECT_EQ(area[0], 'b');
}

TEST(Mmap, StaysAfterCloseAndUnlink) {
  UniqueFd fd = file_of("f", "hello");
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  fd.reset();
  MUST(unlink("f"));
  area[0] = 'j';
  EXPECT_EQ(std::string(area), "jello");
  EXPECT_NE(area_of(area).find("(deleted)"), std::string::npos);
}

TEST(Mmap, SharedFileAcrossProcesses) {
  UniqueFd fd = file_of("f", "hello");
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  EXPECT_EXITED(run_child([&] { area[0] = 'j'; }), 0);
  EXPECT_EQ(area[0], 'j');
}

TEST(Mmap, TwoSharedMappingsAgree) {
  UniqueFd fd = file_of("f", "hello");
  char* first = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  char* second = map(kPage, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_TRUE(first != second);
  first[1] = 'u';
  EXPECT_EQ(second[1], 'u');
}

TEST(Mmap, DevZero) {
  UniqueFd fd(MUST(open("/dev/zero", O_RDWR)));
  char* area = map(kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get());
  EXPECT_EQ(area[5], 0);
  area[5] = 1;
  char* shared = map(kPage, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  EXPECT_EXITED(run_child([&] { shared[0] = 3; }), 0);
  EXPECT_EQ(shared[0], 3);
}

TEST(Mmap, FixedReplaces) {
  char* area = map(3 * kPage);
  memset(area, 'x', 3 * kPage);
  char* middle = map(kPage, PROT_READ, kAnon | MAP_FIXED, -1, 0, area + kPage);
  EXPECT_TRUE(middle == area + kPage);
  EXPECT_EQ(area[kPage], 0);
  EXPECT_EQ(area[0], 'x');
  EXPECT_EQ(area[2 * kPage], 'x');
  EXPECT_EQ(protection_of(middle), "r--p");
}

TEST(Mmap, FixedNoreplaceRefuses) {
  char* area = map(kPage);
  EXPECT_ERR(mmap(area, kPage, PROT_READ, kAnon | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
  MUST(munmap(area, kPage));
  EXPECT_TRUE(mmap(area, kPage, PROT_READ, kAnon | MAP_FIXED_NOREPLACE, -1, 0) == area);
}

TEST(Mmap, HintIsTakenWhenFree) {
  char* area = map(kPage);
  MUST(munmap(area, kPage));
  EXPECT_TRUE(map(kPage, PROT_READ, kAnon, -1, 0, area) == area);
  char* other = map(kPage, PROT_READ, kAnon, -1, 0, area);
  EXPECT_TRUE(other != area);
}

TEST(Mmap, PopulateNoreserveStackLocked) {
  for (int flags : {MAP_POPULATE, MAP_NORESERVE, MAP_STACK, MAP_LOCKED}) {
    char* area = map(kPage, PROT_READ | PROT_WRITE, kAnon | flags);
    area[0] = 1;
    EXPECT_OK(munmap(area, kPage));
  }
}

TEST(Mmap, SharedValidateChecksFlags) {
  UniqueFd fd = file_of("f", "hello");
  EXPECT_ERR(mmap(nullptr, kPage, PROT_READ, MAP_SHARED_VALIDATE | 0x2000000, fd.get(), 0),
             EOPNOTSUPP);
  EXPECT_OK(mmap(nullptr, kPage, PROT_READ, MAP_SHARED_VALIDATE, fd.get(), 0));
}

TEST(Mmap, Low32Bits) {
  char* area = map(kPage, PROT_READ, kAnon | MAP_32BIT);
  EXPECT_LT(reinterpret_cast<uintptr_t>(area), uintptr_t{1} << 31);
}

TEST(Mmap, BigSparseArea) {
  constexpr size_t kBig = size_t{16} << 30;
  char* area = map(kBig, PROT_READ | PROT_WRITE, kAnon | MAP_NORESERVE);
  area[kBig / 2] = 1;
  EXPECT_EQ(area[kBig / 2], 1);
  EXPECT_OK(munmap(area, kBig));
}

TEST(Munmap, SplitsAnArea) {
  char* area = map(3 * kPage);
  memset(area, 'x', 3 * kPage);
  EXPECT_OK(munmap(area + kPage, kPage));
  EXPECT_TRUE(is_mapped(area));
  EXPECT_FALSE(is_mapped(area + kPage));
  EXPECT_TRUE(is_mapped(area + 2 * kPage));
  EXPECT_EQ(area[2 * kPage], 'x');
}

TEST(Munmap, OfNothingIsFine) {
  char* area = map(4 * kPage);
  EXPECT_OK(munmap(area, 4 * kPage));
  EXPECT_OK(munmap(area, 4 * kPage));
  EXPECT_ERR(munmap(area + 1, kPage), EINVAL);
  EXPECT_ERR(munmap(area, 0), EINVAL);
}

TEST(Munmap, SeveralAreasAtOnce) {
  char* area = map(4 * kPage);
  MUST(mprotect(area + kPage, kPage, PROT_READ));
  MUST(munmap(area + 2 * kPage, kPage));
  EXPECT_OK(munmap(area, 4 * kPage));
  EXPECT_FALSE(is_mapped(area));
  EXPECT_FALSE(is_mapped(area + 3 * kPage));
}

TEST(Mprotect, ChangesAndSplits) {
  char* area = map(3 * kPage);
  EXPECT_OK(mprotect(area + kPage, kPage, PROT_READ));
  EXPECT_EQ(protection_of(area), "rw-p");
  EXPECT_EQ(protection_of(area + kPage), "r--p");
  EXPECT_EQ(protection_of(area + 2 * kPage), "rw-p");
  EXPECT_OK(mprotect(area, 3 * kPage, PROT_NONE));
  EXPECT_EQ(protection_of(area + kPage), "---p");
}

TEST(Mprotect, MergesEqualNeighbours) {
  char* area = map(3 * kPage);
  MUST(mprotect(area + kPage, kPage, PROT_NONE));
  MUST(mprotect(area + kPage, kPage, PROT_READ | PROT_WRITE));
  EXPECT_EQ(area_of(area), area_of(area + 2 * kPage));
}

TEST(Mprotect, Errors) {
  char* area = map(2 * kPage);
  EXPECT_ERR(mprotect(area + 1, kPage, PROT_READ), EINVAL);
  EXPECT_ERR(mprotect(area, kPage, 0x100), EINVAL);
  MUST(munmap(area + kPage, kPage));
  EXPECT_ERR(mprotect(area, 2 * kPage, PROT_READ), ENOMEM);
  EXPECT_OK(mprotect(area, 0, PROT_READ));
  write_file("f", "x");
  UniqueFd fd(MUST(open("f", O_RDONLY)));
  char* file = map(kPage, PROT_READ, MAP_SHARED, fd.get());
  EXPECT_ERR(mprotect(file, kPage, PROT_READ | PROT_WRITE), EACCES);
}

TEST(Mprotect, CodeCanBeWrittenThenRun) {
  char* area = map(kPage);
  const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov $42, %eax; ret
  memcpy(area, code, sizeof code);
  MUST(mprotect(area, kPage, PROT_READ | PROT_EXEC));
  EXPECT_EQ(reinterpret_cast<int (*)()>(area)(), 42);
}

TEST(Brk, GrowsAndShrinks) {
  char* start = static_cast<char*>(sbrk(0));
  EXPECT_TRUE(sbrk(10 * kPage) == start);
  start[9 * kPage] = 1;
  EXPECT_NE(read_file("/proc/self/maps").find("[heap]"), std::string::npos);
  EXPECT_OK(brk(start));
  EXPECT_TRUE(sbrk(0) == start);
  sbrk(10 * kPage);
  EXPECT_EQ(start[9 * kPage], 0);  // Fresh memory again.
}

TEST(Brk, RawCallReturnsTheBreak) {
  long now = syscall(SYS_brk, 0);
  EXPECT_EQ(now, reinterpret_cast<long>(sbrk(0)));
  EXPECT_EQ(syscall(SYS_brk, 8), now);  // A bad value changes nothing.
}

TEST(Growsdown, AreaGrows) {
  // Well below everything, so that there is room under it.
  char* area = map(64 * kPage, PROT_NONE);
  MUST(munmap(area, 64 * kPage));
  char* top = map(kPage, PROT_READ | PROT_WRITE, kAnon | MAP_GROWSDOWN | MAP_FIXED, -1, 0,
                  area + 63 * kPage);
  top[0] = 1;
  top[-1] = 2;
  EXPECT_EQ(top[-1], 2);
  EXPECT_TRUE(is_mapped(top - kPage));
}

TEST(Maps, ShowsFileOffsetAndName) {
  UniqueFd fd = file_of("a-file", std::string(2 * kPage, 'a'));
  char* area = map(kPage, PROT_READ, MAP_SHARED, fd.get(), kPage);
  std::string line = area_of(area);
  EXPECT_NE(line.find("r--s 00001000 "), std::string::npos);
  struct stat info;
  MUST(fstat(fd.get(), &info));
  EXPECT_NE(line.find(" " + std::to_string(info.st_ino) + " "), std::string::npos);
  EXPECT_NE(line.find(scratch() + "/a-file"), std::string::npos);
}

TEST(Maps, ShowsStackVdsoAndProgram) {
  int local = 0;
  EXPECT_NE(area_of(&local).find("[stack]"), std::string::npos);
  std::string maps = read_file("/proc/self/maps");
  EXPECT_NE(maps.find("[vdso]"), std::string::npos);
  EXPECT_NE(maps.find("mmap_test"), std::string::npos);
}

TEST(Maps, IsSorted) {
  std::string maps = read_file("/proc/self/maps");
  unsigned long last = 0;
  for (size_t begin = 0; begin < maps.size(); begin = maps.find('\n', begin) + 1) {
    unsigned long low = 0, high = 0;
    EXPECT_EQ(sscanf(maps.c_str() + begin, "%lx-%lx", &low, &high), 2);
    EXPECT_GE(low, last);
    EXPECT_GT(high, low);
    last = high;
  }
}

TEST(Smaps, HasTheUsualFields) {
  char* area = map(4 * kPage);
  memset(area, 1, 2 * kPage);
  std::string smaps = read_file("/proc/self/smaps");
  for (const char* field : {"\nSize:", "\nRss:", "\nPss:", "\nVmFlags:"}) {
    EXPECT_NE(smaps.find(field), std::string::npos);
  }
}

TEST(Munmap, UpToTheEndOfTheAddressSpace) {
  // A child: what is up there is its stack.
  EXPECT_ERR(munmap(reinterpret_cast<void*>(0x7fff00000000), 0x100000000), EINVAL);
  char* p =
      static_cast<char*>(MUST(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  EXPECT_OK(munmap(p, 4096));
  EXPECT_OK(munmap(reinterpret_cast<void*>(0x7fffffffd000), 0x2000));
}

}  // namespace
