#include "net/inet/byte_queue.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

Result<size_t> append(ByteQueue& q, std::string_view text, size_t most = SIZE_MAX) {
  KernelIn in(std::as_bytes(std::span(text)));
  return q.append(in, most);
}

std::string look(const ByteQueue& q, size_t offset, size_t most) {
  std::string out(most, '?');
  KernelOut dst(std::as_writable_bytes(std::span(out)));
  out.resize(q.copy(dst, offset, most).value_or(0));
  return out;
}

TEST(ByteQueue, KeepsOrderThroughPieces) {
  ByteQueue q;
  std::string all;
  for (int i = 0; i < 300; ++i) {
    const std::string part(size_t(i * 37 % 5000), char('a' + i % 26));
    ASSERT_EQ(append(q, part), part.size());
    all += part;
  }
  EXPECT_EQ(q.size(), all.size());
  EXPECT_TRUE(q.is_whole());
  for (size_t at = 0; at < all.size();) {
    const size_t n = std::min<size_t>(all.size() - at, 7919);
    ASSERT_EQ(look(q, 0, n), all.substr(at, n));
    if (n > 10) {
      ASSERT_EQ(look(q, 5, n - 10), all.substr(at + 5, n - 10));
    }
    ASSERT_EQ(q.at(n - 1), all[at + n - 1]);
    q.drop(n);
    at += n;
  }
  EXPECT_TRUE(q.empty());
  EXPECT_TRUE(q.is_whole());
}

TEST(ByteQueue, TakesNoMoreThanItMay) {
  ByteQueue q;
  EXPECT_EQ(append(q, "abcdef", 4), 4u);
  EXPECT_EQ(look(q, 0, 10), "abcd");
}

TEST(ByteQueue, ChargesWhatItHolds) {
  const size_t before = kernel_memory().used();
  ByteQueue q;
  ASSERT_TRUE(append(q, std::string(200000, 'x')));
  EXPECT_GE(kernel_memory().used(), before + 200000);
  q.drop(200000);
  EXPECT_EQ(kernel_memory().used(), before);
}

}  // namespace
}  // namespace usk
