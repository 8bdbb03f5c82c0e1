#include "host/host_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "host/file_io.h"

namespace usk {
namespace {

TEST(HostFd, ReadonlyMappingsNeverBecomeWritable) {
  auto file = make_ref<HostFd>(*host::memory_file("test"));
  ASSERT_EQ(ftruncate(file->get(), 4096), 0);
  auto readonly = file->readonly();
  ASSERT_TRUE(readonly.has_value());
  EXPECT_EQ(*file->readonly(), *readonly);  // One is enough.
  void* m = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, (*readonly)->get(), 0);
  ASSERT_NE(m, MAP_FAILED);
  EXPECT_EQ(mprotect(m, 4096, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
  munmap(m, 4096);
}

TEST(HostFd, ReadonlyOfWhatIsReadonlyIsItself) {
  auto file = make_ref<HostFd>(open("/dev/null", O_RDONLY | O_CLOEXEC));
  auto readonly = file->readonly();
  ASSERT_TRUE(readonly.has_value());
  EXPECT_EQ(*readonly, file);
}

}  // namespace
}  // namespace usk
