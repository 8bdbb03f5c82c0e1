// Memory that was filled before its process slept: what it is after every call that changes it.
// Where programs are saved while they sleep, it comes from an image, of which only what is touched
// is read.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <string>
#include <string_view>
#include <vector>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

constexpr size_t kPage = 4096, kPages = 64, kSize = kPages * kPage;

// Page n holds n + 1, but that some in the middle were never touched.
bool is_hole(size_t page) { return page >= 40 && page < 44; }

char* fill(char* area) {
  for (size_t i = 0; i < kPages; i++) {
    if (!is_hole(i)) memset(area + i * kPage, int(i + 1), kPage);
  }
  return area;
}

void sleep_a_little() {
  const timespec t = {0, 1'000'000};
  nanosleep(&t, nullptr);
}

char* old_memory(int flags = 0) {
  char* area = fill(static_cast<char*>(MUST(
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0))));
  sleep_a_little();
  return area;
}

// Whether pages [from, to) of what old_memory() gave are at `at` as they were.
bool is_old(const char* at, size_t from, size_t to) {
  for (size_t i = from; i < to; i++, at += kPage) {
    const char want = is_hole(i) ? 0 : char(i + 1);
    if (at[0] != want || at[kPage - 1] != want) return false;
  }
  return true;
}
bool is_zero(const char* at, size_t pages) {
  for (size_t i = 0; i < pages * kPage; i += 512) {
    if (at[i]) return false;
  }
  return true;
}

TEST(OldMemory, IsThere) {
  char* area = old_memory();
  EXPECT_TRUE(is_old(area, 0, kPages));
  area[5] = 'x';
  sleep_a_little();
  EXPECT_EQ(area[5], 'x');
  area[5] = 1;
  EXPECT_TRUE(is_old(area, 0, kPages));
}

TEST(OldMemory, SurvivesSeveralSleepsUntouched) {
  char* area = old_memory();
  for (int i = 0; i < 3; i++) sleep_a_little();
  EXPECT_TRUE(is_old(area, 0, kPages));
}

TEST(OldMemory, CanBeGivenBack) {
  for (int round = 0; round < 2; round++) {
    char* area = old_memory();
    EXPECT_OK(madvise(area + 8 * kPage, 40 * kPage, MADV_DONTNEED));
    EXPECT_TRUE(is_old(area, 0, 8));
    EXPECT_TRUE(is_zero(area + 8 * kPage, 40));
    EXPECT_TRUE(is_old(area + 48 * kPage, 48, kPages));
    area[9 * kPage] = 'x';
    sleep_a_little();
    EXPECT_EQ(area[9 * kPage], 'x');
    EXPECT_TRUE(is_zero(area + 10 * kPage, 38));
  }
}

TEST(OldMemory, CanBeGivenBackPageByPage) {
  const size_t many = rounds(12'000);
  char* area = static_cast<char*>(MUST(
      mmap(nullptr, many * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  memset(area, 'x', many * kPage);
  sleep_a_little();
  for (size_t i = 0; i < many; i += 2) {
    ASSERT_OK(madvise(area + i * kPage, kPage, MADV_DONTNEED));
  }
  auto is_right = [&] {
    for (size_t i = 0; i < many; i++) {
      if (area[i * kPage] != (i % 2 ? 'x' : 0)) return false;
    }
    return true;
  };
  EXPECT_TRUE(is_right());
  EXPECT_EXITED(run_child([&] { EXPECT_TRUE(is_right()); }), 0);
  EXPECT_TRUE(is_right());
}

TEST(OldMemory, MayBeFreedAtAnyTime) {
  char* area = old_memory();
  EXPECT_OK(madvise(area, 16 * kPage, MADV_FREE));
  EXPECT_TRUE(area[0] == 1 || area[0] == 0);
  area[0] = 'x';
  EXPECT_EQ(area[0], 'x');
  EXPECT_TRUE(is_old(area + 16 * kPage, 16, kPages));
}

TEST(OldMemory, IsGoneWhereItIsUnmapped) {
  char* area = old_memory();
  EXPECT_OK(munmap(area + 16 * kPage, 16 * kPage));
  EXPECT_TRUE(is_old(area, 0, 16));
  EXPECT_TRUE(is_old(area + 32 * kPage, 32, kPages));
  EXPECT_EQ(MUST(mmap(area + 16 * kPage, 16 * kPage, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)),
            static_cast<void*>(area + 16 * kPage));
  EXPECT_TRUE(is_zero(area + 16 * kPage, 16));
  sleep_a_little();
  EXPECT_TRUE(is_zero(area + 16 * kPage, 16));
  EXPECT_TRUE(is_old(area + 32 * kPage, 32, kPages));
}

TEST(OldMemory, MovesAndGrows) {
  char* area = old_memory();
  char* moved =
      static_cast<char*>(MUST(mremap(area + 8 * kPage, 48 * kPage, 96 * kPage, MREMAP_MAYMOVE)));
  EXPECT_TRUE(is_old(moved, 8, 56));
  EXPECT_TRUE(is_zero(moved + 48 * kPage, 48));
  EXPECT_TRUE(is_old(area, 0, 8));
  EXPECT_TRUE(is_old(area + 56 * kPage, 56, kPages));
  sleep_a_little();
  EXPECT_TRUE(is_old(moved, 8, 56));
  EXPECT_TRUE(is_zero(moved + 48 * kPage, 48));
  EXPECT_OK(madvise(moved, 4 * kPage, MADV_DONTNEED));
  EXPECT_TRUE(is_zero(moved, 4));
}

TEST(OldMemory, LeavesZerosBehindWhereItIsMovedOnly) {
  char* area = old_memory();
  char* moved = static_cast<char*>(
      MUST(mremap(area, kSize, kSize, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, nullptr)));
  EXPECT_TRUE(is_old(moved, 0, kPages));
  EXPECT_TRUE(is_zero(area, kPages));
}

TEST(OldMemory, IsCopiedByFork) {
  char* area = old_memory();
  area[0] = 'p';
  EXPECT_EXITED(run_child([&] {
                  EXPECT_EQ(area[0], 'p');
                  area[0] = 1;
                  EXPECT_TRUE(is_old(area, 0, kPages));
                  area[kPage] = 'c';
                  EXPECT_OK(madvise(area + 2 * kPage, kPage, MADV_DONTNEED));
                  EXPECT_EQ(area[2 * kPage], 0);
                  sleep_a_little();
                  EXPECT_EQ(area[kPage], 'c');
                  EXPECT_EQ(area[2 * kPage], 0);
                }),
                0);
  EXPECT_EQ(area[0], 'p');
  area[0] = 1;
  EXPECT_TRUE(is_old(area, 0, kPages));
}

TEST(OldMemory, IsWipedOrLeftOutByForkAsTold) {
  char* area = old_memory();
  EXPECT_OK(madvise(area, 16 * kPage, MADV_WIPEONFORK));
  EXPECT_OK(madvise(area + 16 * kPage, 16 * kPage, MADV_WIPEONFORK));
  EXPECT_OK(madvise(area + 16 * kPage, 16 * kPage, MADV_KEEPONFORK));
  EXPECT_OK(madvise(area + 48 * kPage, 8 * kPage, MADV_DONTFORK));
  EXPECT_EXITED(run_child([&] {
                  EXPECT_TRUE(is_zero(area, 16));
                  EXPECT_TRUE(is_old(area + 16 * kPage, 16, 48));
                  EXPECT_ERR(msync(area + 48 * kPage, kPage, MS_ASYNC), ENOMEM);
                  EXPECT_TRUE(is_old(area + 56 * kPage, 56, kPages));
                }),
                0);
  EXPECT_TRUE(is_old(area, 0, kPages));
  sleep_a_little();
  EXPECT_TRUE(is_old(area, 0, kPages));
  EXPECT_EXITED(run_child([&] { EXPECT_TRUE(is_zero(area, 16)); }), 0);
}

TEST(OldMemory, ChangesItsProtection) {
  char* area = old_memory();
  EXPECT_OK(mprotect(area + 8 * kPage, 8 * kPage, PROT_READ));
  EXPECT_TRUE(is_old(area, 0, kPages));
  EXPECT_KILLED(run_child([&] { area[8 * kPage] = 1; }), SIGSEGV);
  EXPECT_OK(mprotect(area + 8 * kPage, 8 * kPage, PROT_NONE));
  sleep_a_little();
  EXPECT_OK(mprotect(area + 8 * kPage, 8 * kPage, PROT_READ | PROT_WRITE));
  EXPECT_TRUE(is_old(area, 0, kPages));
}

TEST(OldMemory, CountsAsResidentAndCannotBePunched) {
  char* area = old_memory();
  unsigned char there[kPages] = {};
  EXPECT_OK(mincore(area, kSize, there));
  EXPECT_TRUE(there[0] & 1);
  EXPECT_TRUE(there[kPages - 1] & 1);
  EXPECT_ERR(madvise(area, kSize, MADV_REMOVE), EINVAL);
}

TEST(OldMemory, IsReadAndWrittenByCallsAndOthers) {
  char* area = old_memory();
  const int zeros = MUST(open("/dev/zero", O_RDONLY));
  EXPECT_EQ(read(zeros, area + kPage, kPage), ssize_t(kPage));
  char copy[kPage];
  iovec here = {copy, sizeof copy}, there = {area + 2 * kPage, sizeof copy};
  EXPECT_EQ(process_vm_readv(getpid(), &here, 1, &there, 1, 0), ssize_t(kPage));
  EXPECT_EQ(copy[7], 3);
  EXPECT_TRUE(is_zero(area + kPage, 1));
  EXPECT_TRUE(is_old(area + 2 * kPage, 2, kPages));
}

// A file of 'f's, mapped privately, of which all but some pages in the middle were written to.
struct OldFileMemory {
  OldFileMemory() {
    file = int(MUST(syscall(SYS_memfd_create, "old", 0)));
    const std::vector<char> contents(kSize, 'f');
    MUST(pwrite(file, contents.data(), kSize, 0));
    area = static_cast<char*>(
        MUST(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0)));
    fill(area);
    sleep_a_little();
  }
  bool is_old(const char* at, size_t from, size_t to) const {
    for (size_t i = from; i < to; i++, at += kPage) {
      if (*at != (is_hole(i) ? 'f' : char(i + 1)) || at[kPage - 1] != *at) return false;
    }
    return true;
  }
  static bool is_files(const char* at, size_t pages) {
    return std::string_view(at, pages * kPage) == std::string(pages * kPage, 'f');
  }
  int file;
  char* area;
};

TEST(OldMemory, OfAFileIsThere) {
  OldFileMemory m;
  EXPECT_TRUE(m.is_old(m.area, 0, kPages));
  EXPECT_EXITED(run_child([&] { EXPECT_TRUE(m.is_old(m.area, 0, kPages)); }), 0);
  m.area[3 * kPage] = 'x';
  MUST(msync(m.area, kSize, MS_SYNC));
  char byte = 0;
  MUST(pread(m.file, &byte, 1, 3 * kPage));
  EXPECT_EQ(byte, 'f');
}

TEST(OldMemory, OfAFileShowsTheFileWhereItIsGivenBack) {
  OldFileMemory m;
  ASSERT_OK(madvise(m.area + 2 * kPage, 10 * kPage, MADV_DONTNEED));
  EXPECT_TRUE(m.is_old(m.area, 0, 2));
  EXPECT_TRUE(OldFileMemory::is_files(m.area + 2 * kPage, 10));
  EXPECT_TRUE(m.is_old(m.area + 12 * kPage, 12, kPages));
  sleep_a_little();
  MUST(pwrite(m.file, "g", 1, 4 * kPage));
  EXPECT_EQ(m.area[4 * kPage], 'g');
}

TEST(OldMemory, OfAFileMovesAndChangesItsProtection) {
  OldFileMemory m;
  ASSERT_OK(mprotect(m.area + 8 * kPage, 4 * kPage, PROT_READ));
  auto* moved = static_cast<char*>(
      mremap(m.area + 16 * kPage, 8 * kPage, 16 * kPage, MREMAP_MAYMOVE, nullptr));
  ASSERT_NE(static_cast<void*>(moved), MAP_FAILED);
  EXPECT_TRUE(m.is_old(moved, 16, 24));
  EXPECT_TRUE(OldFileMemory::is_files(moved + 8 * kPage, 8));
  sleep_a_little();
  EXPECT_TRUE(m.is_old(moved, 16, 24));
  EXPECT_TRUE(m.is_old(m.area, 0, 16));
  ASSERT_OK(madvise(moved, 16 * kPage, MADV_DONTNEED));
  EXPECT_TRUE(OldFileMemory::is_files(moved, 16));
  EXPECT_KILLED(run_child([&] { m.area[8 * kPage] = 'x'; }), SIGSEGV);
}

TEST(OldMemory, IsTheHeapsToo) {
  char* begin = static_cast<char*>(sbrk(kSize));
  ASSERT_TRUE(begin != reinterpret_cast<char*>(-1));
  fill(begin);
  sleep_a_little();
  EXPECT_TRUE(is_old(begin, 0, kPages));
  ASSERT_TRUE(sbrk(-long(16 * kPage)) != reinterpret_cast<void*>(-1));
  ASSERT_TRUE(sbrk(long(16 * kPage)) != reinterpret_cast<void*>(-1));
  EXPECT_TRUE(is_old(begin, 0, 48));
  EXPECT_TRUE(is_zero(begin + 48 * kPage, 16));
}

}  // namespace
