#include "fs/pipe/pipe_file.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "base/fake_timers.h"
#include "fs/vfs/file_testing.h"

namespace usk {
namespace {

using namespace testing;

class PipeTest : public ::testing::Test {
 protected:
  Result<std::string> read(size_t n = 1 << 17) { return read_from(*ends_.first, n); }
  Result<size_t> write(std::string_view s) { return write_to(*ends_.second, s); }
  Pipe& pipe() { return static_cast<PipeFile&>(*ends_.first).pipe(); }

  FakeTimers timers_;
  FakeCaller caller_;
  std::pair<Ref<File>, Ref<File>> ends_ = make_pipe(0, test_creds());
};

TEST_F(PipeTest, BytesComeOutInOrder) {
  EXPECT_EQ(write("hello "), 6u);
  EXPECT_EQ(write("world"), 5u);
  EXPECT_EQ(read(3), "hel");
  EXPECT_EQ(read(), "lo world");
  EXPECT_TRUE(failed_with(read(), EAGAIN));
}

TEST_F(PipeTest, EndOfFileWhenWritersAreGone) {
  write("x");
  ends_.second.reset();
  EXPECT_EQ(ends_.first->poll(), PollMask(POLLIN | POLLRDNORM | POLLHUP));
  EXPECT_EQ(read(), "x");
  EXPECT_EQ(read(), "");
  EXPECT_EQ(ends_.first->poll(), PollMask(POLLHUP));
}

TEST_F(PipeTest, BrokenWhenReadersAreGone) {
  ends_.first.reset();
  EXPECT_TRUE(failed_with(write("x"), EPIPE));
  EXPECT_EQ(ends_.second->poll(), PollMask(POLLOUT | POLLWRNORM | POLLERR));
}

TEST_F(PipeTest, HoldsSixtyFourKilobytesExactly) {
  EXPECT_EQ(write(std::string(65536, 'a')), 65536u);
  EXPECT_EQ(ends_.second->poll(), 0u);
  EXPECT_TRUE(failed_with(write("b"), EAGAIN));
  EXPECT_EQ(read(4095)->size(), 4095u);
  EXPECT_TRUE(failed_with(write("b"), EAGAIN));  // A slot is free when its page is read.
  EXPECT_EQ(read(1)->size(), 1u);
  EXPECT_EQ(write("b"), 1u);
}

TEST_F(PipeTest, LongWriteIsPartial) {
  EXPECT_EQ(write("x"), 1u);
  EXPECT_EQ(write(std::string(65536, 'a')), 15u * 4096);
}

TEST_F(PipeTest, ShortWritesAreAtomic) {
  EXPECT_EQ(write(std::string(65536 - 4096 + 10, 'a')), 61450u);
  EXPECT_TRUE(failed_with(write(std::string(4096, 'b')), EAGAIN));
  EXPECT_EQ(write(std::string(4086, 'b')), 4086u);  // Tops up the last page.
}

TEST_F(PipeTest, ByteWritesShareAPage) {
  for (int i = 0; i < 65536; ++i) ASSERT_EQ(write("z"), 1u);
  EXPECT_TRUE(failed_with(write("z"), EAGAIN));
}

TEST_F(PipeTest, PacketsAreReadOneByOne) {
  ends_ = make_pipe(O_DIRECT, test_creds());
  write("first");
  write("second");
  EXPECT_EQ(read(2), "fi");
  EXPECT_EQ(read(), "second");
}

TEST_F(PipeTest, ZeroLengthDoesNothing) {
  EXPECT_EQ(write(""), 0u);
  EXPECT_EQ(read(0), "");
}

TEST_F(PipeTest, CapacityRoundsUp) {
  EXPECT_EQ(pipe().capacity(), 65536u);
  EXPECT_EQ(pipe().set_capacity(1, false), 4096u);
  EXPECT_EQ(pipe().set_capacity(0, false), 4096u);
  EXPECT_EQ(pipe().set_capacity(5000, false), 8192u);
  EXPECT_EQ(pipe().set_capacity(1 << 20, false), 1u << 20);
  EXPECT_TRUE(failed_with(pipe().set_capacity((1 << 20) + 1, false), EPERM));
  EXPECT_EQ(pipe().set_capacity((1 << 20) + 1, true), 2u << 20);
  EXPECT_TRUE(failed_with(pipe().set_capacity(UINT32_MAX, true), EINVAL));
}

TEST_F(PipeTest, CapacityDoesNotDropBelowContents) {
  write(std::string(8193, 'a'));
  EXPECT_TRUE(failed_with(pipe().set_capacity(8192, false), EBUSY));
  EXPECT_EQ(pipe().set_capacity(16384, false), 16384u);
}

TEST_F(PipeTest, FionreadCountsBytes) {
  write(std::string(5000, 'a'));
  int n = 0;
  EXPECT_TRUE(caller_.ioctl(*ends_.first, FIONREAD, n));
  EXPECT_EQ(n, 5000);
  EXPECT_TRUE(failed_with(caller_.ioctl(*ends_.first, 0x5401, n), ENOTTY));
}

TEST_F(PipeTest, FaultTakesNothing) {
  write("abc");
  FaultyOut out(3);
  uint64_t pos = 0;
  EXPECT_TRUE(failed_with(ends_.first->read(out, pos), EFAULT));
  EXPECT_EQ(read(), "abc");
}

TEST_F(PipeTest, WakesReadersAndWriters) {
  auto reader = make_ref<CountingWaiter>(), writer = make_ref<CountingWaiter>();
  ends_.first->queue().add(reader, POLLIN);
  ends_.second->queue().add(writer, POLLOUT);
  write(std::string(65536, 'a'));
  EXPECT_EQ(reader->count, 1);
  EXPECT_EQ(writer->count, 0);
  read(4096);
  EXPECT_EQ(writer->count, 1);
  ends_.second.reset();
  EXPECT_TRUE(reader->take(POLLHUP));
  ends_.first->queue().remove(reader.get());
}

TEST_F(PipeTest, TeeSharesAndSpliceTakes) {
  auto other = make_pipe(0, test_creds());
  Pipe& to = static_cast<PipeFile&>(*other.first).pipe();
  write("shared");
  EXPECT_EQ(to.tee_from(pipe(), 4), 4u);
  EXPECT_EQ(write("!"), 1u);  // Must not show up in the copy.
  EXPECT_EQ(read_from(*other.first), "shar");
  EXPECT_EQ(to.splice_from(pipe(), 3), 3u);
  EXPECT_EQ(read_from(*other.first), "sha");
  EXPECT_EQ(read(), "red!");
  EXPECT_TRUE(failed_with(to.tee_from(pipe(), 1), EAGAIN));
  EXPECT_TRUE(failed_with(pipe().tee_from(pipe(), 1), EINVAL));
  ends_.second.reset();
  EXPECT_EQ(to.tee_from(pipe(), 1), 0u);
}

TEST_F(PipeTest, InodeLooksLikeLinux) {
  auto attr = ends_.first->inode().getattr();
  ASSERT_TRUE(attr);
  EXPECT_EQ(attr->mode, S_IFIFO | 0600u);
  EXPECT_EQ(attr->size, 0u);
}

TEST_F(PipeTest, CanBeOpenedAgain) {
  auto again = ends_.first->inode().open(ends_.first->path(), O_RDONLY, test_creds());
  ASSERT_TRUE(again);
  write("x");
  EXPECT_EQ(read_from(**again), "x");
}

TEST_F(PipeTest, MemoryIsAccounted) {
  const size_t before = kernel_memory().used();
  write(std::string(65536, 'a'));
  EXPECT_GE(kernel_memory().used(), before + 65536);
  read();
  EXPECT_LE(kernel_memory().used(), before + sizeof(PipePage));  // One stays for the next write.
}

class FifoTest : public ::testing::Test {
 protected:
  Result<Ref<File>> open(int flags) {
    return fifo_open(*inode_, internal_path(inode_, "fifo"), flags, test_creds());
  }
  Result<Ref<File>> finish(Ref<File>& file) { return file->finish_open(caller_, file->flags()); }

  FakeTimers timers_;
  FakeCaller caller_;
  Ref<InternalInode> inode_ = make_ref<InternalInode>(test_fs(), S_IFIFO | 0600, *test_creds());
};

TEST_F(FifoTest, OpenWaitsForTheOtherEnd) {
  auto reader = *open(O_RDONLY);
  EXPECT_TRUE(failed_with(finish(reader), EAGAIN));
  auto waiter = make_ref<CountingWaiter>();
  reader->queue().add(waiter, POLLIN);
  auto writer = *open(O_WRONLY);
  EXPECT_GT(waiter->count, 0);
  EXPECT_TRUE(finish(writer));
  EXPECT_TRUE(finish(reader));
  write_to(*writer, "x");
  EXPECT_EQ(read_from(*reader), "x");
}

TEST_F(FifoTest, OpenIsMetByAPeerThatLeftAgain) {
  auto writer = *open(O_WRONLY);
  EXPECT_TRUE(failed_with(finish(writer), EAGAIN));
  open(O_RDONLY).value().reset();
  EXPECT_TRUE(finish(writer));
  EXPECT_TRUE(failed_with(write_to(*writer, "x"), EPIPE));
}

TEST_F(FifoTest, NonblockingOpens) {
  EXPECT_TRUE(failed_with(open(O_WRONLY | O_NONBLOCK), ENXIO));
  auto reader = *open(O_RDONLY | O_NONBLOCK);
  EXPECT_TRUE(finish(reader));
  EXPECT_EQ(reader->poll(), 0u);
  EXPECT_EQ(read_from(*reader), "");
  open(O_WRONLY | O_NONBLOCK).value().reset();
  EXPECT_EQ(reader->poll(), PollMask(POLLHUP));
  auto second = *open(O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(second->poll(), 0u);
}

TEST_F(FifoTest, ReadWriteOpensAtOnce) {
  auto both = *open(O_RDWR);
  EXPECT_TRUE(finish(both));
  write_to(*both, "self");
  EXPECT_EQ(read_from(*both), "self");
  EXPECT_TRUE(failed_with(read_from(*both), EAGAIN));
}

TEST_F(FifoTest, ContentsGoWithTheLastFile) {
  auto both = *open(O_RDWR);
  write_to(*both, "lost");
  both.reset();
  auto again = *open(O_RDWR);
  EXPECT_TRUE(failed_with(read_from(*again), EAGAIN));
}

TEST(RefTest, TryRefFailsAtTheEnd) {
  struct Watched : RefCounted {
    bool* revived;
    void last_unref() override {
      *revived = try_ref();
      RefCounted::last_unref();
    }
  };
  bool revived = true;
  auto w = make_ref<Watched>();
  w->revived = &revived;
  EXPECT_TRUE(w->try_ref());
  w->unref();
  w.reset();
  EXPECT_FALSE(revived);
}

}  // namespace
}  // namespace usk
