#include "fs/hostio/host_stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fs/hostio/epoll_poller.h"
#include "fs/vfs/file_testing.h"
#include "host/poll.h"

namespace usk {
namespace {

using testing::read_from;
using testing::write_to;

class HostStreamTest : public ::testing::Test {
 protected:
  HostStreamTest() : poller(*EpollPoller::make()) {}
  Ref<File> stream(int fd) {
    return *HostStream::make(poller, UniqueFd(fd), testing::test_creds());
  }
  // Runs the poller until nothing happens any more within a moment.
  void settle() {
    for (int i = 0; i < 3; i++) {
      host::wait_for_child_or_fd(poller->fd(), host::monotonic_now() + 2'000'000);
      poller->dispatch();
    }
  }
  std::shared_ptr<EpollPoller> poller;
  Ref<testing::CountingWaiter> waiter = make_ref<testing::CountingWaiter>();
};

TEST_F(HostStreamTest, PipeWakesItsReader) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  UniqueFd far(ends[1]);
  Ref<File> in = stream(ends[0]);
  EXPECT_TRUE(in->can(File::kRead | File::kCanPoll));
  EXPECT_FALSE(in->can(File::kWrite));
  EXPECT_FALSE(in->can(File::kSeek));
  EXPECT_TRUE(failed_with(read_from(*in), EAGAIN));
  in->queue().add(waiter, POLLIN);
  settle();
  EXPECT_EQ(waiter->count, 0);
  ASSERT_EQ(write(far.get(), "abc", 3), 3);
  settle();
  EXPECT_TRUE(waiter->take(POLLIN));
  EXPECT_EQ(waiter->count, 1);  // Once, though nobody has read it yet.
  EXPECT_TRUE(in->poll() & POLLIN);
  EXPECT_EQ(read_from(*in), "abc");
  EXPECT_FALSE(in->poll() & POLLIN);
  far.reset();
  settle();
  EXPECT_TRUE(waiter->take(POLLHUP));
  EXPECT_TRUE(in->poll() & POLLHUP);
  settle();
  EXPECT_EQ(waiter->count, 2);  // The end is not told again and again.
  EXPECT_EQ(read_from(*in), "");
  in->queue().remove(waiter.get());
}

TEST_F(HostStreamTest, FullPipeTakesWhatFitsAndNeverWaits) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  UniqueFd far(ends[0]);
  Ref<File> out = stream(ends[1]);
  const std::string much(200'000, 'x');
  size_t done = 0;
  Result<size_t> n;
  while ((n = write_to(*out, std::string_view(much).substr(done)))) done += *n;
  EXPECT_TRUE(failed_with(n, EAGAIN));
  EXPECT_EQ(done, 65536u);
  EXPECT_EQ(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
  out->queue().add(waiter, POLLOUT);
  std::string buffer(65536, 0);
  ASSERT_EQ(read(far.get(), buffer.data(), buffer.size()), 65536);
  settle();
  EXPECT_TRUE(waiter->take(POLLOUT));
  out->queue().remove(waiter.get());
}

TEST_F(HostStreamTest, OneEventDoesNotSilenceTheOther) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  UniqueFd far(ends[1]);
  Ref<File> s = stream(ends[0]);
  EXPECT_TRUE(S_ISSOCK(s->inode().type()));
  const std::string chunk(65536, 'x');
  while (write_to(*s, chunk)) {
  }
  s->poll();  // Waits for both.
  s->queue().add(waiter, POLLIN | POLLOUT);
  ASSERT_EQ(write(far.get(), "a", 1), 1);
  settle();
  EXPECT_TRUE(waiter->take(POLLIN));
  std::string buffer(1 << 20, 0);
  while (recv(far.get(), buffer.data(), buffer.size(), MSG_DONTWAIT) > 0) {
  }
  settle();
  EXPECT_TRUE(waiter->take(POLLOUT));
  s->queue().remove(waiter.get());
}

TEST_F(HostStreamTest, RegularFileSharesItsPosition) {
  char name[] = "/tmp/usk_stream_XXXXXX";
  const int fd = mkstemp(name);
  ASSERT_GE(fd, 0);
  UniqueFd outside(dup(fd));
  unlink(name);
  ASSERT_EQ(write(fd, "0123456789", 10), 10);
  Ref<File> file = stream(fd);
  EXPECT_TRUE(file->can(File::kSeek | File::kPread | File::kRead | File::kWrite));
  EXPECT_FALSE(file->can(File::kCanPoll));
  EXPECT_EQ(file->inode().getattr()->size, 10u);
  EXPECT_EQ(file->seek(2, SEEK_SET), 2u);
  EXPECT_EQ(lseek(outside.get(), 0, SEEK_CUR), 2);
  // pread(2) leaves it where it is; a read moves it outside, too.
  EXPECT_EQ(read_from(*file, 3), "012");
  EXPECT_EQ(lseek(outside.get(), 0, SEEK_CUR), 2);
  std::string s(3, 0);
  KernelOut out(std::as_writable_bytes(std::span(s)));
  {
    Lock lock(file->pos_mutex());
    EXPECT_EQ(file->read(out, file->pos_locked()), 3u);
  }
  EXPECT_EQ(s, "234");
  EXPECT_EQ(lseek(outside.get(), 0, SEEK_CUR), 5);
  // Opened again, it has a position of its own.
  Ref<File> again = *file->inode().open(file->path(), O_RDONLY, testing::test_creds());
  EXPECT_EQ(again->seek(0, SEEK_CUR), 0u);
}

TEST_F(HostStreamTest, NothingIsGainedByOpeningAgain) {
  Ref<File> null = stream(open("/dev/null", O_RDONLY));
  EXPECT_FALSE(null->can(File::kCanPoll));
  EXPECT_EQ(read_from(*null), "");
  EXPECT_EQ(null->poll() & POLLIN, PollMask(POLLIN));
  EXPECT_TRUE(
      failed_with(null->inode().open(null->path(), O_WRONLY, testing::test_creds()), EACCES));
  EXPECT_TRUE(null->inode().open(null->path(), O_RDONLY, testing::test_creds()));
}

TEST_F(HostStreamTest, BrokenPipe) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  signal(SIGPIPE, SIG_IGN);
  Ref<File> out = stream(ends[1]);
  close(ends[0]);
  EXPECT_TRUE(failed_with(write_to(*out, "x"), EPIPE));
  EXPECT_TRUE(out->poll() & POLLERR);
}

TEST(EpollPoller, RunsWorkOnceAndSleeps) {
  class Work final : public HostWork {
   public:
    void run() override { count++; }
    int count = 0;
  };
  auto poller = *EpollPoller::make();
  auto work = make_ref<Work>();
  poller->run_soon(work);
  poller->run_soon(work);
  pollfd p{poller->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 0), 1);
  poller->dispatch();
  EXPECT_EQ(work->count, 1);
  EXPECT_EQ(poll(&p, 1, 0), 0);
}

}  // namespace
}  // namespace usk
