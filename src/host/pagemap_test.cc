#include "host/pagemap.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vector>

namespace usk::host {
namespace {

constexpr uint64_t kPage = 4096, kPages = 20000;

// Private memory with some pages written, one after the end of what is looked at in one call.
class PagemapTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    memory_ = static_cast<char*>(mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE,
                                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    ASSERT_NE(memory_, MAP_FAILED);
    madvise(memory_, kPages * kPage, MADV_NOHUGEPAGE);
    for (uint64_t page : {3, 4, 5, 100, 15000}) memory_[page * kPage] = 'x';
  }
  void TearDown() override { munmap(memory_, kPages * kPage); }

  // The pages of all runs from the start to the end.
  std::vector<uint64_t> pages(bool own, size_t most = 2) {
    std::vector<uint64_t> out;
    const auto start = reinterpret_cast<uint64_t>(memory_), end = start + kPages * kPage;
    for (uint64_t at = start; at < end;) {
      const auto found = map_.find(getpid(), at, end, own, most);
      EXPECT_TRUE(found && found->looked_to > at && found->looked_to <= end);
      if (!found || found->looked_to <= at) break;
      EXPECT_LE(found->runs.size(), most);
      for (const PageRun& run : found->runs) {
        EXPECT_TRUE(run.start >= at && run.start < run.end && run.end <= found->looked_to);
        for (uint64_t p = run.start; p < run.end; p += kPage) out.push_back((p - start) / kPage);
        at = run.end;
      }
      at = found->looked_to;
    }
    return out;
  }

  Pagemap map_{GetParam()};
  char* memory_ = nullptr;
};

TEST_P(PagemapTest, FindsWrittenPages) {
  EXPECT_EQ(pages(true), (std::vector<uint64_t>{3, 4, 5, 100, 15000}));
  EXPECT_EQ(pages(false), (std::vector<uint64_t>{3, 4, 5, 100, 15000}));
  for (size_t most : {1, 1000}) EXPECT_EQ(pages(true, most), pages(true));
}

TEST_P(PagemapTest, SharedMemoryIsThereButNotOwn) {
  void* shared = mmap(memory_, kPages * kPage, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  ASSERT_EQ(shared, memory_);
  memory_[7 * kPage] = 'x';
  EXPECT_EQ(pages(true), std::vector<uint64_t>{});
  EXPECT_EQ(pages(false), std::vector<uint64_t>{7});
}

TEST_P(PagemapTest, Residency) {
  std::vector<uint8_t> there(101);
  ASSERT_TRUE(map_.residency(getpid(), reinterpret_cast<uint64_t>(memory_), there));
  for (size_t i = 0; i < there.size(); i++) {
    EXPECT_EQ(there[i], i == 3 || i == 4 || i == 5 || i == 100) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutScan, PagemapTest, testing::Bool());

}  // namespace
}  // namespace usk::host
