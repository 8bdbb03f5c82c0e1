#include "base/id_counter.h"

#include <gtest/gtest.h>

namespace usk {
namespace {

TEST(IdCounter, GivesEachNumberOnce) {
  static IdCounter c("test.once", 7);
  EXPECT_EQ(c.next(), 7u);
  EXPECT_EQ(c.next(), 8u);
  EXPECT_EQ(IdCounter::all()["test.once"], 9u);
}

TEST(IdCounter, GoesOnWhereAnotherLifeStopped) {
  static IdCounter early("test.early");
  early.next();
  IdCounter::raise_all({{"test.early", 100}, {"test.late", 50}, {"test.behind", 2}});
  EXPECT_EQ(early.next(), 100u);
  static IdCounter late("test.late");
  EXPECT_EQ(late.next(), 50u);
  static IdCounter behind("test.behind", 20);
  EXPECT_EQ(behind.next(), 20u);
}

}  // namespace
}  // namespace usk
