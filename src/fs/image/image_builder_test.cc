#include "fs/image/image_builder.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

ImageEntry file(const std::string& path, uint64_t size = 0) {
  return {.path = path, .mode = S_IFREG | 0644, .size = size};
}
ImageEntry dir(const std::string& path) { return {.path = path, .mode = S_IFDIR | 0755}; }
ImageEntry link(const std::string& path, const std::string& target) {
  return {.path = path, .mode = S_IFLNK | 0777, .target = target};
}
ImageEntry hard(const std::string& path, const std::string& target) {
  return {.path = path, .target = target, .hard_link = true};
}

struct Tree {
  ImageBuilder builder = *ImageBuilder::make({.bytes = 1 << 20, .entries = 2000});
  Tree() { builder.begin_layer(true); }

  bool add(const ImageEntry& e) { return builder.add(e).has_value(); }
  // Null: there is none.
  Ref<Inode> at(std::string_view path) {
    Ref<Inode> inode = (*builder.finish()).root->inode_ref();
    while (!path.empty()) {
      const size_t slash = std::min(path.find('/'), path.size());
      auto next = inode->lookup(path.substr(0, slash));
      if (!next) return {};
      inode = *next;
      path.remove_prefix(std::min(slash + 1, path.size()));
    }
    return inode;
  }
};

TEST(ImageBuilder, CountsBytesBeforeTheyExist) {
  Tree t;
  EXPECT_TRUE(t.add(file("a", 500 << 10)));
  EXPECT_FALSE(t.add(file("b", 600 << 10)));
  EXPECT_FALSE(t.add(file("c", UINT64_MAX)));
  EXPECT_FALSE(t.add(file("d", UINT64_MAX - 4096)));
  ImageEntry big = file("e");
  big.xattrs.emplace_back("user.x", std::string(2 << 20, 'x'));
  EXPECT_FALSE(t.add(big));
}

TEST(ImageBuilder, CountsEntries) {
  Tree t;
  int n = 0;
  while (t.add(file("f" + std::to_string(n)))) n++;
  EXPECT_GT(n, 1000);
  EXPECT_LE(n, 2000);
}

TEST(ImageBuilder, ContentsStayWithinTheirFile) {
  Tree t;
  EXPECT_TRUE(t.add(file("a", 3)));
  const std::array<std::byte, 4> four{std::byte{1}};
  EXPECT_TRUE(t.builder.write(0, std::span(four).first(3)));
  EXPECT_FALSE(t.builder.write(0, four));
  EXPECT_FALSE(t.builder.write(UINT64_MAX, std::span(four).first(2)));
}

TEST(ImageBuilder, LinksLeadNowhereElse) {
  Tree t;
  EXPECT_TRUE(t.add(link("out", "../../..")));
  EXPECT_TRUE(t.add(file("out/kept")));
  EXPECT_TRUE(t.at("kept"));
  EXPECT_FALSE(t.add(file("../x")));
  EXPECT_FALSE(t.add(file("a/../../x")));
  EXPECT_FALSE(t.add(hard("h", "/etc/passwd")));
  EXPECT_FALSE(t.add(hard("h", "../etc/passwd")));
  EXPECT_TRUE(t.add(link("loop", "loop")));
  EXPECT_FALSE(t.add(file("loop/x")));
  EXPECT_FALSE(t.add(file("kept/below")));
}

TEST(ImageBuilder, HardLinksShare) {
  Tree t;
  EXPECT_TRUE(t.add(file("a")));
  EXPECT_TRUE(t.add(hard("b", "a")));
  EXPECT_EQ(t.at("a"), t.at("b"));
  EXPECT_EQ(t.at("a")->getattr()->nlink, 2u);
  EXPECT_TRUE(t.add(file("a")));
  EXPECT_EQ(t.at("b")->getattr()->nlink, 1u);
  EXPECT_TRUE(t.add(dir("d")));
  EXPECT_FALSE(t.add(hard("e", "d")));
}

TEST(ImageBuilder, DepthIsBounded) {
  Tree t;
  std::string deep;
  for (int i = 0; i < 600; i++) deep += "d/";
  EXPECT_TRUE(t.add(file(deep + "x")));
  EXPECT_TRUE(t.add(link("l", deep)));
  EXPECT_FALSE(t.add(file("l/" + deep + "x")));
}

TEST(ImageBuilder, WhiteoutsAreAboutLayersBelow) {
  Tree t;
  for (const char* path : {"a/old", "b/old", "c"}) EXPECT_TRUE(t.add(file(path)));
  t.builder.begin_layer(true);
  EXPECT_TRUE(t.add(file("a/new")));
  EXPECT_TRUE(t.add(file("a/.wh..wh..opq")));
  EXPECT_TRUE(t.add(file(".wh.b")));
  EXPECT_TRUE(t.add(file("c")));
  EXPECT_TRUE(t.add(file(".wh.c")));
  EXPECT_TRUE(t.add(file(".wh.absent")));
  EXPECT_FALSE(t.add(file(".wh.")));
  EXPECT_FALSE(t.add(file(".wh...")));
  EXPECT_FALSE(t.at("a/old"));
  EXPECT_TRUE(t.at("a/new"));
  EXPECT_FALSE(t.at("b"));
  EXPECT_TRUE(t.at("c"));
  EXPECT_FALSE(t.at(".wh.b"));
}

}  // namespace
}  // namespace usk
