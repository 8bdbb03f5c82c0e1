#include "state/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>

#include "state/saved.h"

namespace usk::state {
namespace {

using testing::ElementsAre;

struct Shape : RefCounted {
  int64_t number = 0;
  std::string text;
  std::optional<bool> flag;
  std::array<char, 3> bytes{1, 2, 3};
  Ref<Shape> next;
  std::vector<double> reals;
  USK_FIELDS(number, text, flag, bytes, next, reals)
};
USK_SAVED(Shape, "test/document-shape")

std::string saved() {
  auto first = make_ref<Shape>();
  first->number = -7;
  first->text = "hello";
  first->flag = true;
  first->next = make_ref<Shape>();
  first->next->number = int64_t(1) << 40;
  first->next->reals = {0.5};
  Writer writer("a test");
  writer.root("shapes", std::vector<Ref<Shape>>{first, first->next});
  auto text = writer.finish();
  EXPECT_TRUE(text);
  return *text;
}

TEST(Document, ShowsWhatWasSaved) {
  const auto d = Document::parse(saved());
  ASSERT_TRUE(d) << d.error().message;
  EXPECT_EQ(d->build, "a test");
  EXPECT_EQ(*d->root("shapes"), nlohmann::json({0, 1}));
  EXPECT_EQ(d->root("others"), nullptr);
  ASSERT_EQ(d->objects.size(), 2u);
  const auto& first = d->objects[0];
  EXPECT_EQ(d->class_of(first), "test/document-shape");
  EXPECT_THAT(d->classes[first.class_number].fields,
              ElementsAre("number", "text", "flag", "bytes", "next", "reals"));
  nlohmann::json values = nlohmann::json::array();
  for (const auto& value : first.values) values.push_back(shown(value));
  EXPECT_EQ(values, nlohmann::json({-7, "hello", {true}, "0x010203", 1, nlohmann::json::array()}));
  EXPECT_EQ(d->objects[1].values[0], int64_t(1) << 40);
  EXPECT_EQ(d->objects[1].values[5], nlohmann::json({0.5}));
  EXPECT_GT(first.bytes, 10u);
}

TEST(Document, RefusesEveryTruncationAndSurvivesFlippedBits) {
  const std::string whole = saved();
  for (size_t size = 0; size < whole.size(); size++) {
    EXPECT_FALSE(Document::parse(std::string_view(whole).substr(0, size))) << size;
  }
  EXPECT_FALSE(Document::parse(whole + "x"));
  std::minstd_rand random;
  for (int i = 0; i < 20'000; i++) {
    std::string text = whole;
    for (int flips = 0; flips < 3; flips++) text[random() % text.size()] ^= char(1 << random() % 8);
    (void)Document::parse(text);
  }
}

}  // namespace
}  // namespace usk::state
