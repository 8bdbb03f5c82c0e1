#include "fs/dev/memory_devices.h"

#include <gtest/gtest.h>
#include <linux/random.h>
#include <sys/sysmacros.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"
#include "fs/vfs/internal.h"

namespace usk {
namespace {

using namespace testing;

class NodeInode final : public InternalInode {
 public:
  explicit NodeInode(Dev rdev)
      : InternalInode(test_fs(), S_IFCHR | 0666, *test_creds()), rdev_(rdev) {}
  Result<Attr> getattr() override {
    Attr attr = TRY(InternalInode::getattr());
    attr.rdev = rdev_;
    return attr;
  }

 private:
  Dev rdev_;
};

class MemoryDeviceTest : public ::testing::Test {
 protected:
  Result<Ref<File>> open(unsigned minor, int flags = O_RDWR) {
    Ref<NodeInode> inode = make_ref<NodeInode>(makedev(kMemoryMajor, minor));
    return open_memory_device(*inode, internal_path(inode, "device"), flags, test_creds());
  }
  FakeTimers timers_;
  FakeCaller caller_;
};

TEST_F(MemoryDeviceTest, NullIsEmptyAndTakesAll) {
  auto file = *open(3);
  EXPECT_EQ(read_from(*file), "");
  EXPECT_EQ(write_to(*file, "gone"), 4u);
  EXPECT_EQ(file->seek(100, SEEK_SET), 0u);
  EXPECT_TRUE(failed_with(file->mmap(0, 4096, 1, 2), ENODEV));
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*file, 0x1234), ENOTTY));
}

TEST_F(MemoryDeviceTest, ZeroReadsZerosAndMaps) {
  auto file = *open(5);
  EXPECT_EQ(read_from(*file, 10000), std::string(10000, '\0'));
  EXPECT_EQ(write_to(*file, "gone"), 4u);
  auto backing = file->mmap(0, 4096, 3, 1);
  ASSERT_TRUE(backing);
  EXPECT_FALSE(backing->fd);
  FaultyOut out(10);
  uint64_t pos = 0;
  EXPECT_TRUE(failed_with(file->read(out, pos), EFAULT));
}

TEST_F(MemoryDeviceTest, FullTakesNothing) {
  auto file = *open(7);
  EXPECT_EQ(read_from(*file, 3), std::string(3, '\0'));
  EXPECT_TRUE(failed_with(write_to(*file, "x"), ENOSPC));
}

TEST_F(MemoryDeviceTest, RandomDiffersEachTime) {
  auto random = *open(8), urandom = *open(9);
  EXPECT_NE(read_from(*random, 5000), read_from(*random, 5000));
  EXPECT_NE(read_from(*urandom, 16), read_from(*urandom, 16));
  EXPECT_EQ(write_to(*random, "seed"), 4u);
  EXPECT_TRUE(random->can(File::kCanPoll));
  EXPECT_FALSE(urandom->can(File::kCanPoll));
}

TEST_F(MemoryDeviceTest, EntropyIoctls) {
  auto file = *open(8);
  int n = 0;
  EXPECT_TRUE(caller_.ioctl(*file, RNDGETENTCNT, n));
  EXPECT_EQ(n, 256);
  EXPECT_TRUE(failed_with(caller_.ioctl_value(*file, 0x1234), EINVAL));
  caller_.who = user_creds(1000);
  EXPECT_TRUE(failed_with(caller_.ioctl(*file, RNDADDTOENTCNT, n), EPERM));
}

TEST_F(MemoryDeviceTest, OthersDoNotExist) {
  EXPECT_TRUE(failed_with(open(1), ENXIO));
  EXPECT_TRUE(failed_with(open(0), ENXIO));
}

}  // namespace
}  // namespace usk
