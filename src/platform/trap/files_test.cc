#include "platform/trap/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "platform/trap/trap_platform.h"

namespace usk::platform {
namespace {

constexpr uint64_t kAt = 0x400000;

// A file of one page with a name, of this mode.
class StubFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    auto p = TrapPlatform::make();
    ASSERT_TRUE(p.has_value()) << p.error().message;
    platform_ = std::move(*p);
    int fd = mkstemp(name_);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(write(fd, std::string(4096, 'x').data(), 4096), 4096);
    close(fd);
  }
  void TearDown() override { unlink(name_); }

  Ref<HostFd> open_it(mode_t mode) {
    chmod(name_, mode);
    return make_ref<HostFd>(UniqueFd(open(name_, O_RDONLY | O_CLOEXEC)));
  }
  // Maps the file in a new space: how many batches of commands were waited for.
  uint64_t map_once(HostFd& file, int flags = MAP_PRIVATE) {
    auto s = platform_->new_space();
    EXPECT_TRUE(s.has_value());
    const uint64_t before = platform_->counters().batches_awaited;
    EXPECT_TRUE(s->space->map(
        *s->thread, {.addr = kAt, .length = 4096, .prot = PROT_READ, .flags = flags, .fd = &file}));
    const uint64_t awaited = platform_->counters().batches_awaited - before;
    std::byte byte{};
    EXPECT_TRUE(s->space->read(kAt + 4095, std::span(&byte, 1)));
    EXPECT_EQ(byte, std::byte('x'));
    return awaited;
  }

  char name_[32] = "/tmp/stub-files.XXXXXX";
  std::unique_ptr<Platform> platform_;
};

TEST_F(StubFilesTest, SecondMappingOfAFileForAllIsNotWaitedFor) {
  auto file = open_it(0644);
  EXPECT_EQ(map_once(*file), 1u);
  EXPECT_EQ(map_once(*file), 0u);
  auto again = open_it(0644);
  EXPECT_EQ(map_once(*again), 0u);
}

TEST_F(StubFilesTest, OthersAreAskedForEachTime) {
  auto secret = open_it(0600);
  EXPECT_EQ(map_once(*secret), 1u);
  EXPECT_EQ(map_once(*secret), 1u);
  auto file = open_it(0644);
  EXPECT_EQ(map_once(*file, MAP_SHARED), 1u);
  EXPECT_EQ(map_once(*file, MAP_SHARED), 1u);
}

TEST_F(StubFilesTest, FilesWithoutANameAreNobodyElses) {
  auto file = open_it(0644);
  unlink(name_);
  StubFiles files;
  EXPECT_EQ(files.find(*file), nullptr);
}

TEST_F(StubFilesTest, PlacesEndAndStay) {
  StubFiles files;
  std::vector<Ref<HostFd>> open_files;
  for (int i = USK_STUB_FILES; i < USK_STUB_FILES_END + 3; i++) {
    char name[] = "/tmp/stub-files.XXXXXX";
    UniqueFd fd(mkstemp(name));
    fchmod(fd.get(), 0644);
    auto file = make_ref<HostFd>(std::move(fd));
    auto* place = files.find(*file);
    if (i < USK_STUB_FILES_END) {
      ASSERT_NE(place, nullptr);
      EXPECT_EQ(place->fd, i);
      EXPECT_EQ(files.find(*file), place);
    } else {
      EXPECT_EQ(place, nullptr);
    }
    unlink(name);
    open_files.push_back(std::move(file));
  }
}

}  // namespace
}  // namespace usk::platform
