#include "fs/mem/file_data.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>

#include "fs/vfs/vfs_testing.h"
#include "host/file.h"
#include "host/file_io.h"
#include "state/image/contents.h"
#include "state/saved.h"

namespace usk {
namespace {

using namespace usk::testing;
constexpr uint64_t kPage = FileData::kPage;

std::span<const std::byte> bytes(std::string_view s) { return std::as_bytes(std::span(s)); }

class FileDataTest : public ::testing::Test {
 protected:
  std::string get(FileData& d, uint64_t at, size_t n) {
    std::string s(n, '?');
    s.resize(*d.read(at, std::as_writable_bytes(std::span(s))));
    return s;
  }
  Ref<MemQuota> quota = make_ref<MemQuota>(64, 0);
};

TEST_F(FileDataTest, WritesAndReads) {
  FileData d(quota);
  EXPECT_EQ(*d.write(0, bytes("hello")), 5u);
  EXPECT_EQ(get(d, 0, 10), "hello");
  EXPECT_EQ(get(d, 3, 1), "l");
  EXPECT_EQ(get(d, 5, 1), "");
  EXPECT_EQ(d.pages(), 1u);
}

TEST_F(FileDataTest, HolesReadAsZeros) {
  FileData d(quota);
  ASSERT_OK(d.write(3 * kPage, bytes("x")));
  EXPECT_EQ(d.pages(), 1u);
  EXPECT_EQ(get(d, 0, 2), std::string(2, '\0'));
  EXPECT_EQ(*d.seek_data(0), 3 * kPage);
  EXPECT_EQ(*d.seek_hole(0), 0u);
  EXPECT_EQ(*d.seek_hole(3 * kPage), 3 * kPage + 1);
  EXPECT_ERROR(d.seek_data(3 * kPage + 1), ENXIO);
}

TEST_F(FileDataTest, ShrinkingClearsTheTail) {
  for (uint64_t base : {uint64_t(0), FileData::kHeapMax}) {
    FileData d(quota);
    ASSERT_OK(d.write(base, bytes("abcdef")));
    ASSERT_OK(d.resize(base + 2));
    ASSERT_OK(d.resize(base + 6));
    EXPECT_EQ(get(d, base, 6), std::string("ab\0\0\0\0", 6));
    ASSERT_OK(d.resize(0));
    EXPECT_EQ(d.pages(), 0u);
  }
  EXPECT_EQ(quota->pages(), 0u);
}

TEST_F(FileDataTest, MovesToTheHostWhenLarge) {
  FileData d(quota);
  ASSERT_OK(d.write(10, bytes("small")));
  ASSERT_OK(d.write(FileData::kHeapMax, bytes("large")));
  EXPECT_EQ(get(d, 10, 5), "small");
  EXPECT_EQ(get(d, FileData::kHeapMax, 5), "large");
  EXPECT_EQ(d.pages(), 2u);
  EXPECT_EQ(quota->pages(), 2u);
}

TEST_F(FileDataTest, MappedFilesAreOnTheHost) {
  FileData d(quota);
  ASSERT_OK(d.write(0, bytes("mapped")));
  Ref<HostFd> fd = *d.host_file();
  std::string s(6, '?');
  EXPECT_EQ(*host::pread(*fd, std::as_writable_bytes(std::span(s)), 0), 6u);
  EXPECT_EQ(s, "mapped");
  ASSERT_OK(d.write(0, bytes("M")));
  EXPECT_EQ(*host::pread(*fd, std::as_writable_bytes(std::span(s)), 0), 6u);
  EXPECT_EQ(s, "Mapped");
}

// What an image gets of a file that changes while it is written.
TEST_F(FileDataTest, AnImageHoldsWhatWasThere) {
  const auto piece = [](char c) { return std::string(FileData::kHeapMax * 2, c); };
  using Change = std::function<void(FileData&)>;
  const Change changes[] = {
      [&](FileData& d) { ASSERT_OK(d.write(100'000, bytes(piece('b')))); },
      [&](FileData& d) {
        ASSERT_OK(d.resize(5));
        ASSERT_OK(d.write(7, bytes(piece('c'))));
      },
      [&](FileData& d) { ASSERT_OK(d.punch(kPage + 1, 70'000)); },
      [&](FileData& d) {
        Ref<HostFd> fd = *d.host_file();  // As a mapping would.
        ASSERT_OK(host::pwrite(*fd, bytes(piece('d')), 0));
      },
  };
  for (const Change& change : changes) {
    FileData d(make_ref<MemQuota>(0, 0));
    ASSERT_OK(d.write(0, bytes(piece('a') + piece('A'))));
    ASSERT_OK(d.write(1 << 20, bytes("the end")));
    const std::string before = get(d, 0, (1 << 20) + 7);
    state::ContentsWriter contents;
    state::Writer writer("test");
    writer.services().add(&contents);
    writer.root("file", d);
    ASSERT_TRUE(writer.finish());
    auto image = state::ImageWriter::in_memory();
    ASSERT_TRUE(contents.begin(image, /*behind=*/true));
    ASSERT_TRUE(*contents.write_some(1));
    change(d);
    while (*contents.write_some(10'000)) change(d);
    auto written = image.finish({});
    auto reader = state::ContentsReader::open(*written);
    ASSERT_TRUE(reader);
    std::string s(before.size(), '?');
    auto file = reader->file(0);
    ASSERT_TRUE(file);
    EXPECT_EQ(*host::pread(**file, std::as_writable_bytes(std::span(s)), 0), s.size());
    EXPECT_TRUE(s == before);
  }
}

TEST_F(FileDataTest, PagesMadeThroughMappingsAreCounted) {
  FileData d(quota);
  ASSERT_OK(d.resize(10 * kPage));
  Ref<HostFd> fd = *d.host_file();
  ASSERT_OK(host::pwrite(*fd, bytes("x"), 5 * kPage));  // As a mapping would.
  EXPECT_EQ(quota->pages(), 0u);
  d.sync_pages();
  EXPECT_EQ(quota->pages(), 1u);
}

TEST_F(FileDataTest, QuotaStopsWrites) {
  for (uint64_t start : {uint64_t(0), FileData::kHeapMax}) {
    auto tight = make_ref<MemQuota>(2, 0);
    FileData d(tight);
    EXPECT_EQ(*d.write(start, bytes(std::string(3 * kPage, 'x'))), 2 * kPage);
    EXPECT_ERROR(d.write(start + 2 * kPage, bytes("y")), ENOSPC);
    EXPECT_OK(d.write(start, bytes("y")));
    EXPECT_ERROR(d.allocate(start, 3 * kPage, false), ENOSPC);
    ASSERT_OK(d.punch(start, kPage));
    EXPECT_OK(d.write(start + 2 * kPage, bytes("z")));
  }
}

TEST_F(FileDataTest, QuotaAbove) {
  auto above = make_ref<MemQuota>(1, 0);
  auto below = make_ref<MemQuota>(0, 0, above);
  FileData d(below);
  ASSERT_OK(d.write(0, bytes("x")));
  EXPECT_ERROR(d.write(kPage, bytes("x")), ENOSPC);
  EXPECT_EQ(below->pages(), 1u);
}

TEST_F(FileDataTest, AllocatesAndPunches) {
  for (uint64_t base : {uint64_t(0), 2 * FileData::kHeapMax}) {
    FileData d(quota);
    ASSERT_OK(d.allocate(base, 4 * kPage, true));
    EXPECT_EQ(d.size(), 0u);
    EXPECT_EQ(d.pages(), 4u);
    ASSERT_OK(d.allocate(base, 4 * kPage, false));
    EXPECT_EQ(d.size(), base + 4 * kPage);
    ASSERT_OK(d.write(base, bytes(std::string(4 * kPage, 'x'))));
    ASSERT_OK(d.punch(base + 100, 2 * kPage));
    EXPECT_EQ(d.pages(), 3u);
    EXPECT_EQ(get(d, base + 99, 2), std::string("x\0", 2));
    EXPECT_EQ(get(d, base + 2 * kPage + 99, 2), std::string("\0x", 2));
    EXPECT_EQ(d.size(), base + 4 * kPage);
  }
  EXPECT_EQ(quota->pages(), 0u);
}

TEST_F(FileDataTest, SizesHaveAnEnd) {
  FileData d(quota);
  EXPECT_ERROR(d.resize(uint64_t(INT64_MAX) + 1), EFBIG);
  EXPECT_ERROR(d.write(INT64_MAX, bytes("x")), EFBIG);
  EXPECT_ERROR(d.allocate(UINT64_MAX, 2, false), EFBIG);
}

// Against a plain string, at random.
TEST_F(FileDataTest, BehavesAsAString) {
  for (unsigned seed = 0; seed < 20; seed++) {
    std::mt19937 random(seed);
    auto unlimited = make_ref<MemQuota>(0, 0);
    FileData d(unlimited);
    std::string model;
    for (int i = 0; i < 60; i++) {
      const uint64_t at = random() % 90000, n = random() % 9000;
      switch (random() % 4) {
        case 0:
        case 1: {
          const std::string s(n, char('a' + i % 26));
          ASSERT_EQ(*d.write(at, bytes(s)), n);
          if (n && model.size() < at + n) model.resize(at + n);
          if (n) model.replace(at, n, s);
          break;
        }
        case 2:
          ASSERT_OK(d.resize(at));
          model.resize(at);
          break;
        case 3:
          if (n == 0) break;
          ASSERT_OK(d.punch(at, n));
          for (uint64_t k = at; k < std::min<uint64_t>(at + n, model.size()); k++) model[k] = 0;
          break;
      }
      ASSERT_EQ(d.size(), model.size());
    }
    ASSERT_EQ(get(d, 0, model.size() + 10), model) << "seed " << seed;
  }
}

TEST(PageSetTest, Counts) {
  PageSet s;
  s.add(5, 10);
  s.add(20, 25);
  EXPECT_EQ(s.missing(0, 30), 20u);
  s.add(10, 20);
  EXPECT_EQ(s.count(), 20u);
  EXPECT_EQ(s.missing(5, 25), 0u);
  EXPECT_EQ(s.remove(7, 9), 2u);
  EXPECT_EQ(s.missing(5, 25), 2u);
  EXPECT_EQ(s.remove(0, UINT64_MAX), 18u);
  EXPECT_EQ(s.count(), 0u);
}

}  // namespace
}  // namespace usk
