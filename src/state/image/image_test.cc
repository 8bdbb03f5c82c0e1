#include "state/image/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

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

// Pages that differ from each other: the Nth is full of N.
std::string pages(int first, int count) {
  std::string out;
  for (int i = first; i < first + count; i++) {
    std::string page(kPageSize, char(i));
    page[0] = char(i >> 8);
    out += page;
  }
  return out;
}

class FormTest : public ImageTest {
 protected:
  OrFailure<Image> save(const char* name, const std::string& memory, ImageForm form) {
    auto writer = ImageWriter::create(dir_ / name);
    if (!writer) return std::unexpected(writer.error());
    TRY(writer->set_form(std::move(form)));
    PartWriter* part = TRY(writer->begin(kPagesPart));
    for (size_t at = 0; at < memory.size(); at += 10 * kPageSize) {
      TRY(part->append(std::string_view(memory).substr(at, 10 * kPageSize)));
    }
    EXPECT_EQ(part->size(), memory.size());
    TRY(writer->add("state", "hello"));
    TRY(writer->add("empty", ""));
    TRY(writer->finish(Manifest(), false));
    return Image::open(dir_ / name);
  }
  ImageForm from(const char* base, const Image& image, bool compressed = false) {
    auto hashes = PageIndex::of(**image.file(kPagesPart));
    EXPECT_TRUE(hashes);
    return {.compressed = compressed,
            .base = Base{base, image.manifest().checksum},
            .base_pages = *hashes};
  }
  std::string memory_of(const Image& image) {
    auto file = image.file(kPagesPart);
    EXPECT_TRUE(file) << file.error().message;
    std::string out(size_t(lseek((*file)->get(), 0, SEEK_END)), '\0');
    EXPECT_EQ(pread((*file)->get(), out.data(), out.size(), 0), ssize_t(out.size()));
    return out;
  }
};

TEST_F(FormTest, CompressedPartsReadAsTheyWere) {
  const std::string memory = pages(0, 700) + "a rest that is no page";
  auto image = save("image", memory, {.compressed = true});
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_TRUE(image->verify());
  EXPECT_EQ(*image->read("state"), "hello");
  EXPECT_EQ(*image->read("empty"), "");
  EXPECT_EQ(*image->read(kPagesPart), memory);
  EXPECT_EQ(memory_of(*image), memory);
  const Part& part = *image->manifest().find(kPagesPart);
  EXPECT_EQ(part.plain_size, memory.size());
  EXPECT_LT(part.size, memory.size() / 10);
  for (size_t at = 0; at < part.size; at += 1 + part.size / 200) {
    change("memory", at);
    auto damaged = Image::open(dir_ / "image");
    ASSERT_TRUE(damaged);
    EXPECT_FALSE(damaged->verify());
    (void)damaged->file(kPagesPart);  // Whatever it gives.
    change("memory", at);
  }
}

TEST_F(FormTest, PagesOfTheBaseAreReferredTo) {
  const std::string first = pages(0, 600), second = pages(300, 600), third = pages(0, 900);
  auto one = save("one", first, {});
  ASSERT_TRUE(one) << one.error().message;
  for (bool compressed : {false, true}) {
    auto two = save("two", second, from("one", *one, compressed));
    ASSERT_TRUE(two) << two.error().message;
    EXPECT_TRUE(two->verify());
    EXPECT_EQ(memory_of(*two), second);
    EXPECT_EQ(two->manifest().find(kPagesPart)->plain_size, 300 * kPageSize);
    EXPECT_FALSE(two->read(kPagesPart));
    auto three = save("three", third, from("two", *two, compressed));
    ASSERT_TRUE(three) << three.error().message;
    EXPECT_TRUE(three->verify());
    EXPECT_EQ(memory_of(*three), third);
  }
}

// As usk restore reads memory: pieces in any order.
TEST_F(FormTest, PiecesAreThoseOfTheWhole) {
  const std::string first = pages(0, 600), second = pages(300, 600) + pages(5, 3);
  for (const bool compressed : {false, true}) {
    auto one = save("one", first, {.compressed = compressed});
    ASSERT_TRUE(one);
    auto two = save("two", second, from("one", *one, !compressed));
    ASSERT_TRUE(two) << two.error().message;
    auto image = Image::open(dir_ / "two");
    ASSERT_TRUE(image);
    auto reader = image->reader(kPagesPart);
    ASSERT_TRUE(reader) << reader.error().message;
    ASSERT_EQ((*reader)->size(), second.size());
    for (uint64_t at = second.size() / 2, i = 0; i < 200; i++) {
      at = (at + 7919 * 131) % second.size();
      std::string piece(std::min<size_t>(i * 1500, second.size() - at), '?');
      ASSERT_TRUE((*reader)->read(at, std::as_writable_bytes(std::span(piece))));
      ASSERT_EQ(piece, second.substr(at, piece.size())) << at;
    }
    std::byte more[2];
    EXPECT_FALSE((*reader)->read(second.size() - 1, more));
  }
}

TEST_F(FormTest, NotesServeAsABase) {
  auto notes = std::make_shared<ImageNotes>();
  auto one = save("one", pages(0, 600), {.notes = notes});
  ASSERT_TRUE(one);
  EXPECT_EQ(notes->checksum, Image::open(dir_ / "one")->manifest().checksum);
  EXPECT_EQ(notes->fresh, 600 * kPageSize);
  auto of_two = std::make_shared<ImageNotes>();
  auto two = save("two", pages(300, 400),
                  {.base = Base{"one", notes->checksum}, .base_notes = notes, .notes = of_two});
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(of_two->found, 300 * kPageSize);
  EXPECT_EQ(of_two->fresh, 100 * kPageSize);
  EXPECT_TRUE(Image::open(dir_ / "two")->verify());
  EXPECT_EQ(memory_of(*Image::open(dir_ / "two")), pages(300, 400));
}

TEST(PageIndex, Grows) {
  PageIndex index;
  constexpr uint64_t kPages = 10'000;
  const auto hash = [](uint64_t i) { return PageIndex::Hash{i * 64, i}; };  // Alike, for the table.
  std::vector<std::byte> page(kPageSize);
  EXPECT_FALSE(index.find(page));
  for (uint64_t i = 0; i < kPages; i++) index.add(hash(i), i * kPageSize);
  EXPECT_FALSE(index.find(page));
  index.add(PageIndex::hash(page), 0);
  index.add(PageIndex::hash(page), kPageSize);  // The first one stays.
  EXPECT_EQ(index.find(page), 0u);
}

TEST_F(FormTest, AMissingOrChangedBaseIsToldOf) {
  auto one = save("one", pages(0, 10), {});
  auto two = save("two", pages(0, 12), from("one", *one));
  ASSERT_TRUE(two && save("three", pages(0, 13), from("two", *two)));
  fs::rename(dir_ / "one", dir_ / "gone");
  auto missing = Image::open(dir_ / "three");
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, testing::StartsWith("an image that it refers to: /"));
  EXPECT_THAT(missing.error().message, testing::EndsWith("/one: No such file or directory"));
  ASSERT_TRUE(save("one", pages(0, 11), {}));
  EXPECT_THAT(Image::open(dir_ / "three").error().message,
              HasSubstr("/one: it is another one now"));
  fs::remove_all(dir_ / "one");
  fs::rename(dir_ / "gone", dir_ / "one");
  EXPECT_TRUE(Image::open(dir_ / "three")->verify());
  std::ofstream(dir_ / "one" / "memory", std::ios::in | std::ios::out) << "x";
  EXPECT_THAT(Image::open(dir_ / "three")->verify().error().message,
              HasSubstr("image part memory: wrong checksum"));
}

TEST(PageMap, RangesAreCompared) {
  PageMap map;
  map.add(4096, true, 8192);
  map.add(100, false, 0);
  map.add(4096, true, 0);
  map.add(4096, true, 4096);
  EXPECT_EQ(map.runs().size(), 3u);
  EXPECT_EQ(PageMap::decode(map.encode(), 100, 12288)->size(), map.size());
  EXPECT_FALSE(PageMap::decode(map.encode(), 99, 12288));
  EXPECT_FALSE(PageMap::decode(map.encode(), 100, 12287));
  EXPECT_FALSE(PageMap::decode(map.encode() + "x", 100, 12288));
  EXPECT_FALSE(PageMap::decode("", 100, 12288));
}

}  // namespace
}  // namespace usk::state
