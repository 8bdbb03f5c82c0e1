#include "fs/vfs/fd_table.h"

#include <gtest/gtest.h>

#include "fs/vfs/vfs_testing.h"

namespace usk {
namespace {

using namespace usk::testing;

class NullFile final : public File {
 public:
  NullFile() : File({}, O_RDWR, 0, test_creds()) {}
};

class FdTableTest : public ::testing::Test {
 protected:
  Ref<File> f = make_ref<NullFile>();
  FdTable t;
};

TEST_F(FdTableTest, GivesTheLowestFree) {
  for (int i = 0; i < 5; i++) EXPECT_EQ(*t.add(f, false, 100), i);
  EXPECT_OK(t.remove(1));
  EXPECT_OK(t.remove(3));
  EXPECT_EQ(*t.add(f, false, 100), 1);
  EXPECT_EQ(*t.add(f, false, 100), 3);
  EXPECT_EQ(*t.add(f, false, 100), 5);
  EXPECT_EQ(*t.add(f, false, 100, 10), 10);
  EXPECT_EQ(*t.add(f, false, 100), 6);
}

TEST_F(FdTableTest, HoldsTheLimit) {
  EXPECT_EQ(*t.add(f, false, 1), 0);
  EXPECT_ERROR(t.add(f, false, 1), EMFILE);
  EXPECT_ERROR(t.add(f, false, 5, 5), EMFILE);
  EXPECT_EQ(*t.add(f, false, 2), 1);
}

TEST_F(FdTableTest, BadDescriptors) {
  EXPECT_ERROR(t.get(-1), EBADF);
  EXPECT_ERROR(t.get(0), EBADF);
  EXPECT_ERROR(t.get(INT32_MAX), EBADF);
  EXPECT_ERROR(t.remove(0), EBADF);
  EXPECT_ERROR(t.set_cloexec(0, true), EBADF);
  EXPECT_ERROR(t.replace(-1, f, false, 10), EBADF);
  EXPECT_ERROR(t.replace(10, f, false, 10), EBADF);
}

TEST_F(FdTableTest, ReplaceGivesBackWhatStood) {
  Ref<File> other = make_ref<NullFile>();
  EXPECT_EQ(*t.add(f, false, 10), 0);
  EXPECT_EQ(*t.replace(0, other, true, 10), f);
  EXPECT_EQ(*t.get(0), other);
  EXPECT_TRUE(t.get_slot(0)->cloexec);
  EXPECT_FALSE(*t.replace(7, f, false, 10));
  EXPECT_EQ(t.open_fds(), (std::vector<int>{0, 7}));
}

TEST_F(FdTableTest, CloexecGoesAtExec) {
  t.add(f, true, 10).value();
  t.add(f, false, 10).value();
  t.add(f, true, 10).value();
  EXPECT_EQ(t.remove_cloexec().size(), 2u);
  EXPECT_EQ(t.open_fds(), std::vector<int>{1});
  EXPECT_EQ(*t.add(f, false, 10), 0);
}

TEST_F(FdTableTest, CloneIsACopy) {
  t.add(f, true, 10).value();
  Ref<FdTable> c = t.clone();
  EXPECT_OK(t.remove(0));
  EXPECT_EQ(*c->get(0), f);
  EXPECT_TRUE(c->get_slot(0)->cloexec);
  EXPECT_NE(c->id(), t.id());
  EXPECT_EQ(*c->add(f, false, 10), 1);
}

TEST_F(FdTableTest, RemoveAllEmpties) {
  for (int i = 0; i < 3; i++) t.add(f, false, 10).value();
  EXPECT_EQ(t.remove_all().size(), 3u);
  EXPECT_TRUE(t.open_fds().empty());
  EXPECT_EQ(*t.add(f, false, 10), 0);
}

TEST_F(FdTableTest, RangesOfOpenFds) {
  for (int i = 0; i < 6; i++) t.add(f, false, 10).value();
  EXPECT_EQ(t.open_fds(2, 4), (std::vector<int>{2, 3, 4}));
  EXPECT_EQ(t.open_fds(5, INT32_MAX), std::vector<int>{5});
  EXPECT_TRUE(t.open_fds(100, 200).empty());
}

TEST_F(FdTableTest, SizeGrowsAsLinux) {
  EXPECT_EQ(t.size(), 64u);
  t.add(f, false, 1000, 64).value();
  EXPECT_EQ(t.size(), 128u);
  t.add(f, false, 1000, 128).value();
  EXPECT_EQ(t.size(), 256u);
  t.add(f, false, 1000, 300).value();
  EXPECT_EQ(t.size(), 512u);
}

}  // namespace
}  // namespace usk
