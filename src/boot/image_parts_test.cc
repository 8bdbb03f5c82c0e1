#include "boot/image_parts.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

TEST(CheckProcessor, TakesWhatThisOneHas) {
  EXPECT_FALSE(processor_features().empty());
  EXPECT_TRUE(check_processor(processor_features()));
  EXPECT_TRUE(check_processor({}));
}

TEST(CheckProcessor, NamesWhatIsMissing) {
  std::vector<std::string> wanted = processor_features();
  wanted.emplace_back("avx9");
  const auto checked = check_processor(wanted);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().message, "this processor lacks avx9, which the image was made with");
}

}  // namespace
}  // namespace usk
