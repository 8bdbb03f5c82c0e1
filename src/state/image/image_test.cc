#include "state/image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace usk::state {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ImageTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string dir = fs::temp_directory_path() / "image-XXXXXX";
    ASSERT_TRUE(mkdtemp(dir.data()));
    dir_ = dir;
  }
  void TearDown() override { fs::remove_all(dir_); }

  OrFailure<Image> write(const std::string& state, bool sync = false) {
    auto writer = ImageWriter::create(dir_ / "image");
    if (!writer) return std::unexpected(writer.error());
    TRY(writer->add("state", state));
    TRY(writer->add("memory-0", std::string(3 << 20, 'm')));
    Manifest manifest;
    manifest.build = "test";
    manifest.platform = "trap";
    manifest.cpu_features = {"avx2"};
    manifest.monotonic_ns = -5;
    manifest.generation = 7;
    manifest.facts["command"] = "sleep";
    return writer->finish(manifest, sync);
  }
  size_t entries() const {
    return size_t(std::distance(fs::directory_iterator(dir_), fs::directory_iterator()));
  }
  void change(const char* part, size_t at) {
    std::fstream file(dir_ / "image" / part, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(std::streamoff(at));
    const int byte = file.get();
    file.seekp(std::streamoff(at));
    file.put(char(byte ^ 1));
  }

  fs::path dir_;
};

TEST_F(ImageTest, KeepsPartsAndFacts) {
  ASSERT_TRUE(write("hello", true));
  EXPECT_EQ(entries(), 1u);
  auto image = Image::open(dir_ / "image");
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_TRUE(image->verify());
  EXPECT_EQ(*image->read("state"), "hello");
  EXPECT_EQ(image->read("memory-0")->size(), size_t(3 << 20));
  EXPECT_EQ(image->manifest().platform, "trap");
  EXPECT_EQ(image->manifest().monotonic_ns, -5);
  EXPECT_EQ(image->manifest().generation, 7u);
  EXPECT_EQ(image->manifest().facts["command"], "sleep");
  EXPECT_EQ(image->read("other").error().message, "image part other: missing");
}

TEST_F(ImageTest, ReplacesAnImageAndNothingElse) {
  ASSERT_TRUE(write("one"));
  ASSERT_TRUE(write("two"));
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(*Image::open(dir_ / "image")->read("state"), "two");
  fs::remove_all(dir_ / "image");
  fs::create_directory(dir_ / "image");
  std::ofstream(dir_ / "image" / "precious") << "x";
  auto refused = write("three");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "image exists and is no image");
  EXPECT_EQ(entries(), 1u);
  EXPECT_TRUE(fs::exists(dir_ / "image" / "precious"));
}

TEST_F(ImageTest, LeavesNothingOfWhatWasNotFinished) {
  {
    auto writer = ImageWriter::create((dir_ / "image").string() + "/");
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->add("state", "half"));
    EXPECT_EQ(entries(), 1u);
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(ImageTest, NamesThePartThatIsDamaged) {
  ASSERT_TRUE(write("hello"));
  change("memory-0", 2 << 20);
  auto image = Image::open(dir_ / "image");
  ASSERT_TRUE(image);
  EXPECT_EQ(image->verify().error().message, "image part memory-0: wrong checksum");
  EXPECT_TRUE(image->read("state"));
  fs::resize_file(dir_ / "image" / "state", 4);
  image = Image::open(dir_ / "image");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().message, "image part state: 4 bytes instead of 5");
  fs::remove(dir_ / "image" / "state");
  image = Image::open(dir_ / "image");
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().message, "image part state: No such file or directory");
}

TEST_F(ImageTest, RefusesEveryDamagedManifest) {
  ASSERT_TRUE(write("hello"));
  std::ifstream file(dir_ / "image" / "manifest");
  const std::string text(std::istreambuf_iterator<char>(file), {});
  ASSERT_TRUE(Manifest::parse(text));
  for (size_t size = 0; size + 1 < text.size(); size++) {
    EXPECT_FALSE(Manifest::parse(text.substr(0, size))) << size;
  }
  for (size_t bit = 0; bit < text.size() * 8; bit++) {
    std::string changed = text;
    changed[bit / 8] = char(changed[bit / 8] ^ 1 << bit % 8);
    const auto parsed = Manifest::parse(changed);
    // Only space between values may change.
    if (parsed) {
      EXPECT_EQ(parsed->to_text(), text);
    }
  }
}

TEST_F(ImageTest, RefusesNamesThatLeadElsewhere) {
  for (const char* name : {"", ".", "..", "../x", "a/b", "manifest", ".hidden", "Ab"}) {
    EXPECT_FALSE(is_part_name(name)) << name;
  }
  ASSERT_TRUE(write("hello"));
  fs::remove(dir_ / "image" / "state");
  std::ofstream(dir_ / "state") << "hello";
  fs::create_symlink("../state", dir_ / "image" / "state");
  auto image = Image::open(dir_ / "image");
  ASSERT_FALSE(image);
  EXPECT_THAT(image.error().message, HasSubstr("image part state: "));
}

TEST_F(ImageTest, LivesInMemoryToo) {
  ImageWriter writer = ImageWriter::in_memory();
  ASSERT_TRUE(writer.add("state", "hello"));
  auto image = writer.finish({});
  ASSERT_TRUE(image);
  EXPECT_TRUE(image->verify());
  EXPECT_EQ(*image->read("state"), "hello");
}

}  // namespace
}  // namespace usk::state
