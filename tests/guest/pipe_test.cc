// Pipes and FIFOs.
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Pipe {
  explicit Pipe(int flags = 0) {
    int fds[2];
    MUST(pipe2(fds, flags));
    in.reset(fds[0]);
    out.reset(fds[1]);
  }
  UniqueFd in, out;
};

short events_of(const UniqueFd& fd) {
  pollfd poll_fd = {fd.get(), POLLIN | POLLOUT, 0};
  EXPECT_GE(poll(&poll_fd, 1, 0), 0);
  return poll_fd.revents;
}

TEST(Pipe, BytesInOrder) {
  Pipe pipe;
  EXPECT_EQ(write(pipe.out.get(), "hello", 5), 5);
  EXPECT_EQ(write(pipe.out.get(), " you", 4), 4);
  char buffer[16] = {};
  EXPECT_EQ(read(pipe.in.get(), buffer, 3), 3);
  EXPECT_EQ(read(pipe.in.get(), buffer + 3, 13), 6);
  EXPECT_EQ(std::string(buffer), "hello you");
}

TEST(Pipe, FlagsAndWrongEnds) {
  Pipe pipe(O_CLOEXEC | O_NONBLOCK);
  EXPECT_EQ(fcntl(pipe.in.get(), F_GETFD), FD_CLOEXEC);
  char byte;
  EXPECT_ERR(read(pipe.in.get(), &byte, 1), EAGAIN);
  EXPECT_ERR(read(pipe.out.get(), &byte, 1), EBADF);
  EXPECT_ERR(write(pipe.in.get(), "x", 1), EBADF);
  int fds[2];
  EXPECT_ERR(pipe2(fds, 0x10), EINVAL);
  EXPECT_ERR(syscall(SYS_pipe2, 8, 0), EFAULT);
}

TEST(Pipe, EndOfFileAfterTheLastWriter) {
  Pipe pipe;
  UniqueFd second(MUST(dup(pipe.out.get())));
  EXPECT_EQ(write(pipe.out.get(), "x", 1), 1);
  pipe.out.reset();
  char buffer[4];
  EXPECT_EQ(read(pipe.in.get(), buffer, 4), 1);
  fcntl(pipe.in.get(), F_SETFL, O_NONBLOCK);
  EXPECT_ERR(read(pipe.in.get(), buffer, 4), EAGAIN);
  second.reset();
  EXPECT_EQ(read(pipe.in.get(), buffer, 4), 0);
}

TEST(Pipe, WritingWithoutReadersIsSigpipe) {
  Pipe pipe;
  pipe.in.reset();
  EXPECT_KILLED(run_child([&] { [[maybe_unused]] ssize_t n = write(pipe.out.get(), "x", 1); }),
                SIGPIPE);
  handle_signal(SIGPIPE, SIG_IGN);
  EXPECT_ERR(write(pipe.out.get(), "x", 1), EPIPE);
}

TEST(Pipe, CapacityIs64K) {
  Pipe pipe(O_NONBLOCK);
  std::string block(4096, 'x');
  size_t total = 0;
  for (ssize_t n; (n = write(pipe.out.get(), block.data(), block.size())) > 0;) total += n;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_EQ(total, 65536u);
  int n = 0;
  EXPECT_OK(ioctl(pipe.in.get(), FIONREAD, &n));
  EXPECT_EQ(n, 65536);
}

TEST(Pipe, AtomicWritesUpToPipeBuf) {
  Pipe pipe(O_NONBLOCK);
  std::string block(4096, 'x');
  for (int i = 0; i < 15; ++i) EXPECT_EQ(write(pipe.out.get(), block.data(), 4096), 4096);
  EXPECT_EQ(write(pipe.out.get(), block.data(), 1000), 1000);
  // Less than a page is free within the last buffer: all or nothing.
  EXPECT_ERR(write(pipe.out.get(), block.data(), 4096), EAGAIN);
}

TEST(Pipe, LargeNonblockingWriteIsPartial) {
  Pipe pipe(O_NONBLOCK);
  std::string data(100000, 'x');
  EXPECT_EQ(write(pipe.out.get(), data.data(), data.size()), 65536);
}

TEST(Pipe, BlockedWriterGoesOn) {
  Pipe pipe;
  std::string data(200000, 'x');
  Thread writer([&] {
    EXPECT_EQ(write(pipe.out.get(), data.data(), data.size()), ssize_t(data.size()));
    pipe.out.reset();
  });
  wait_until_blocked(writer.tid());
  size_t total = 0;
  char buffer[10000];
  for (ssize_t n; (n = read(pipe.in.get(), buffer, sizeof buffer)) > 0;) total += n;
  EXPECT_EQ(total, data.size());
}

TEST(Pipe, BlockedReaderIsWoken) {
  Pipe pipe;
  Thread reader([&] {
    char buffer[8];
    EXPECT_EQ(read(pipe.in.get(), buffer, 8), 3);
  });
  wait_until_blocked(reader.tid());
  EXPECT_EQ(write(pipe.out.get(), "abc", 3), 3);
}

TEST(Pipe, BlockedWriterSeesTheReaderGo) {
  handle_signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  std::string data(65536, 'x');
  EXPECT_EQ(write(pipe.out.get(), data.data(), data.size()), 65536);
  Thread writer([&] { EXPECT_ERR(write(pipe.out.get(), "y", 1), EPIPE); });
  wait_until_blocked(writer.tid());
  pipe.in.reset();
}

TEST(Pipe, PollStates) {
  Pipe pipe;
  EXPECT_EQ(events_of(pipe.in), 0);
  EXPECT_EQ(events_of(pipe.out), POLLOUT);
  EXPECT_EQ(write(pipe.out.get(), "x", 1), 1);
  EXPECT_EQ(events_of(pipe.in), POLLIN);
  pipe.out.reset();
  EXPECT_EQ(events_of(pipe.in), POLLIN | POLLHUP);
  char byte;
  EXPECT_EQ(read(pipe.in.get(), &byte, 1), 1);
  EXPECT_EQ(events_of(pipe.in), POLLHUP);
  Pipe other;
  other.in.reset();
  EXPECT_EQ(events_of(other.out), POLLOUT | POLLERR);
}

TEST(Pipe, SizeCanChange) {
  Pipe pipe(O_NONBLOCK);
  EXPECT_EQ(fcntl(pipe.out.get(), F_GETPIPE_SZ), 65536);
  EXPECT_EQ(fcntl(pipe.out.get(), F_SETPIPE_SZ, 5000), 8192);
  EXPECT_EQ(fcntl(pipe.in.get(), F_GETPIPE_SZ), 8192);
  std::string data(10000, 'x');
  EXPECT_EQ(write(pipe.out.get(), data.data(), data.size()), 8192);
  EXPECT_ERR(fcntl(pipe.out.get(), F_SETPIPE_SZ, 4096), EBUSY);
  EXPECT_EQ(fcntl(pipe.out.get(), F_SETPIPE_SZ, 1 << 20), 1 << 20);
}

TEST(Pipe, SizeAboveTheMaximumNeedsPrivilege) {
  EXPECT_EXITED(run_child([] {
                  become_unprivileged();
                  Pipe pipe;
                  EXPECT_ERR(fcntl(pipe.out.get(), F_SETPIPE_SZ, 2 << 20), EPERM);
                }),
                0);
}

TEST(Pipe, PacketMode) {
  Pipe pipe(O_DIRECT | O_NONBLOCK);
  EXPECT_EQ(write(pipe.out.get(), "abc", 3), 3);
  EXPECT_EQ(write(pipe.out.get(), "de", 2), 2);
  char buffer[8];
  EXPECT_EQ(read(pipe.in.get(), buffer, 8), 3);
  EXPECT_EQ(read(pipe.in.get(), buffer, 1), 1);  // The rest of a packet is dropped.
  EXPECT_ERR(read(pipe.in.get(), buffer, 8), EAGAIN);
}

TEST(Pipe, ZeroLengthWriteIsNothing) {
  Pipe pipe(O_NONBLOCK);
  EXPECT_EQ(write(pipe.out.get(), "", 0), 0);
  char byte;
  EXPECT_ERR(read(pipe.in.get(), &byte, 1), EAGAIN);
}

TEST(Pipe, ReopenThroughProc) {
  Pipe pipe;
  std::string path = "/proc/self/fd/" + std::to_string(pipe.in.get());
  UniqueFd writer(MUST(open(path.c_str(), O_WRONLY)));
  EXPECT_EQ(write(writer.get(), "x", 1), 1);
  char byte;
  EXPECT_EQ(read(pipe.in.get(), &byte, 1), 1);
}

TEST(Fifo, OpenWaitsForTheOtherEnd) {
  MUST(mkfifo("fifo", 0600));
  pid_t pid = fork_child([] {
    UniqueFd fd(MUST(open("fifo", O_WRONLY)));
    EXPECT_EQ(write(fd.get(), "hello", 5), 5);
  });
  wait_until_blocked(pid);
  UniqueFd fd(MUST(open("fifo", O_RDONLY)));
  char buffer[8];
  EXPECT_EQ(read(fd.get(), buffer, 8), 5);
  EXPECT_EXITED(wait_for(pid), 0);
  EXPECT_EQ(read(fd.get(), buffer, 8), 0);
}

TEST(Fifo, NonblockingOpen) {
  MUST(mkfifo("fifo", 0600));
  EXPECT_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
  UniqueFd in(MUST(open("fifo", O_RDONLY | O_NONBLOCK)));
  UniqueFd out(MUST(open("fifo", O_WRONLY | O_NONBLOCK)));
  EXPECT_EQ(write(out.get(), "x", 1), 1);
  char byte;
  EXPECT_EQ(read(in.get(), &byte, 1), 1);
}

TEST(Fifo, ReadWriteOpenNeverWaits) {
  MUST(mkfifo("fifo", 0600));
  UniqueFd fd(MUST(open("fifo", O_RDWR)));
  EXPECT_EQ(write(fd.get(), "x", 1), 1);
  char byte;
  EXPECT_EQ(read(fd.get(), &byte, 1), 1);
}

TEST(Fifo, NoHangupBeforeAWriterCame) {
  MUST(mkfifo("fifo", 0600));
  UniqueFd in(MUST(open("fifo", O_RDONLY | O_NONBLOCK)));
  EXPECT_EQ(events_of(in), 0);
  UniqueFd out(MUST(open("fifo", O_WRONLY)));
  out.reset();
  EXPECT_EQ(events_of(in), POLLHUP);
  out.reset(MUST(open("fifo", O_WRONLY)));
  EXPECT_EQ(events_of(in), 0);
}

}  // namespace
