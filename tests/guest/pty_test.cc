// Pseudo-terminals and the line discipline.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#include "tests/guest/harness.h"

namespace {

using namespace guest;

struct Pty {
  Pty() {
    master.reset(MUST(posix_openpt(O_RDWR | O_NOCTTY)));
    MUST(grantpt(master.get()));
    MUST(unlockpt(master.get()));
    slave.reset(MUST(open(ptsname(master.get()), O_RDWR | O_NOCTTY)));
  }

  termios settings() {
    termios now;
    MUST(tcgetattr(slave.get(), &now));
    return now;
  }
  void apply(const termios& next) { MUST(tcsetattr(slave.get(), TCSANOW, &next)); }
  void set_local(tcflag_t on, tcflag_t off) {
    termios next = settings();
    next.c_lflag = (next.c_lflag | on) & ~off;
    apply(next);
  }
  void raw(cc_t min = 1, cc_t time = 0) {
    termios next = settings();
    cfmakeraw(&next);
    next.c_cc[VMIN] = min;
    next.c_cc[VTIME] = time;
    apply(next);
  }
  void type(std::string_view text) {
    EXPECT_EQ(write(master.get(), text.data(), text.size()), ssize_t(text.size()));
  }
  std::string take(int fd, size_t size = 4096) {
    std::string out(size, '\0');
    pollfd entry = {fd, POLLIN, 0};
    if (poll(&entry, 1, 2000) != 1) return "(nothing)";
    ssize_t n = read(fd, out.data(), size);
    return n < 0 ? "(" + describe_errno(errno) + ")" : out.substr(0, n);
  }
  std::string shown() { return take(master.get()); }
  std::string line() { return take(slave.get()); }
  bool readable(const UniqueFd& fd) {
    pollfd entry = {fd.get(), POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
  }

  UniqueFd master, slave;
};

TEST(Pty, NamesAndNumbers) {
  Pty pty;
  EXPECT_TRUE(isatty(pty.master.get()));
  EXPECT_TRUE(isatty(pty.slave.get()));
  unsigned number = 99999;
  EXPECT_OK(ioctl(pty.master.get(), TIOCGPTN, &number));
  EXPECT_EQ(std::string(ptsname(pty.master.get())), "/dev/pts/" + std::to_string(number));
  struct stat info;
  MUST(fstat(pty.slave.get(), &info));
  EXPECT_TRUE(S_ISCHR(info.st_mode));
}

TEST(Pty, LockedUntilUnlocked) {
  UniqueFd master(MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY)));
  EXPECT_ERR(open(ptsname(master.get()), O_RDWR | O_NOCTTY), EIO);
  int unlock = 0;
  MUST(ioctl(master.get(), TIOCSPTLCK, &unlock));
  UniqueFd slave(MUST(open(ptsname(master.get()), O_RDWR | O_NOCTTY)));
}

TEST(Pty, PeerByIoctl) {
  UniqueFd master(MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY)));
  int unlock = 0;
  MUST(ioctl(master.get(), TIOCSPTLCK, &unlock));
  UniqueFd slave(MUST(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY)));
  EXPECT_TRUE(isatty(slave.get()));
}

TEST(Pty, DefaultSettings) {
  Pty pty;
  termios now = pty.settings();
  EXPECT_TRUE(now.c_lflag & ICANON);
  EXPECT_TRUE(now.c_lflag & ECHO);
  EXPECT_TRUE(now.c_lflag & ISIG);
  EXPECT_TRUE(now.c_iflag & ICRNL);
  EXPECT_TRUE(now.c_oflag & OPOST);
  EXPECT_TRUE(now.c_oflag & ONLCR);
  EXPECT_EQ(now.c_cc[VINTR], 3);
  EXPECT_EQ(now.c_cc[VEOF], 4);
  EXPECT_EQ(now.c_cc[VERASE], 127);
}

TEST(Pty, OutputAddsCarriageReturns) {
  Pty pty;
  EXPECT_EQ(write(pty.slave.get(), "a\nb\n", 4), 4);
  EXPECT_EQ(pty.shown(), "a\r\nb\r\n");
}

TEST(Pty, CanonicalInputComesInLines) {
  Pty pty;
  pty.type("hel");
  EXPECT_FALSE(pty.readable(pty.slave));
  pty.type("lo\nmore\n");
  EXPECT_EQ(pty.line(), "hello\n");
  EXPECT_EQ(pty.line(), "more\n");
}

TEST(Pty, ShortReadLeavesTheRestOfTheLine) {
  Pty pty;
  pty.type("hello\n");
  EXPECT_EQ(pty.take(pty.slave.get(), 3), "hel");
  EXPECT_EQ(pty.line(), "lo\n");
}

TEST(Pty, EchoShowsInput) {
  Pty pty;
  pty.type("hi\n");
  EXPECT_EQ(pty.shown(), "hi\r\n");
  pty.set_local(0, ECHO);
  pty.line();
  pty.type("secret\n");
  EXPECT_EQ(pty.line(), "secret\n");
  EXPECT_FALSE(pty.readable(pty.master));
}

TEST(Pty, CarriageReturnBecomesNewline) {
  Pty pty;
  pty.type("enter\r");
  EXPECT_EQ(pty.line(), "enter\n");
}

TEST(Pty, EraseAndKill) {
  Pty pty;
  pty.type("abc\x7f\x7fX\n");
  EXPECT_EQ(pty.line(), "aX\n");
  EXPECT_EQ(pty.shown(), "abc\b \b\b \bX\r\n");
  pty.type("garbage\x15ok\n");
  EXPECT_EQ(pty.line(), "ok\n");
}

TEST(Pty, WordErase) {
  Pty pty;
  pty.type("one two\x17three\n");
  EXPECT_EQ(pty.line(), "one three\n");
}

TEST(Pty, EofEndsALineWithoutNewline) {
  Pty pty;
  pty.type("part\x04");
  EXPECT_EQ(pty.line(), "part");
  pty.type("\x04");
  EXPECT_EQ(pty.line(), "");
}

TEST(Pty, LiteralNext) {
  Pty pty;
  pty.type("a\x16\x03z\n");
  EXPECT_EQ(pty.line(), "a\x03z\n");
}

TEST(Pty, ControlCharactersAreEchoedWithACaret) {
  Pty pty;
  pty.type("\x01");
  EXPECT_EQ(pty.shown(), "^A");
}

TEST(Pty, RawModePassesEverything) {
  Pty pty;
  pty.raw();
  pty.type("\x03\x04\r");
  EXPECT_EQ(pty.line(), "\x03\x04\r");
  EXPECT_EQ(write(pty.slave.get(), "a\n", 2), 2);
  EXPECT_EQ(pty.shown(), "a\n");
}

TEST(Pty, VminWaitsForThatMany) {
  Pty pty;
  pty.raw(3, 0);
  Thread reader([&] {
    char buffer[8];
    EXPECT_EQ(read(pty.slave.get(), buffer, 8), 3);
  });
  pty.type("a");
  wait_until_blocked(reader.tid());
  pty.type("bc");
}

TEST(Pty, VminZeroPollsAndVtimeTimesOut) {
  Pty pty;
  char buffer[8];
  pty.raw(0, 0);
  EXPECT_EQ(read(pty.slave.get(), buffer, 8), 0);
  pty.raw(0, 1);
  int64_t start = now_ms();
  EXPECT_EQ(read(pty.slave.get(), buffer, 8), 0);
  EXPECT_GE(now_ms() - start, 90);
  pty.type("x");
  EXPECT_EQ(read(pty.slave.get(), buffer, 8), 1);
}

TEST(Pty, VtimeBetweenBytes) {
  Pty pty;
  pty.raw(10, 1);
  pty.type("abc");
  char buffer[16];
  EXPECT_EQ(read(pty.slave.get(), buffer, 16), 3);
}

TEST(Pty, NonblockingRead) {
  Pty pty;
  MUST(fcntl(pty.slave.get(), F_SETFL, O_RDWR | O_NONBLOCK));
  char byte;
  EXPECT_ERR(read(pty.slave.get(), &byte, 1), EAGAIN);
}

TEST(Pty, FionreadAndFlush) {
  Pty pty;
  pty.raw();
  pty.type("abcd");
  pollfd entry = {pty.slave.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 2000), 1);
  int n = 0;
  EXPECT_OK(ioctl(pty.slave.get(), FIONREAD, &n));
  EXPECT_EQ(n, 4);
  EXPECT_OK(tcflush(pty.slave.get(), TCIFLUSH));
  EXPECT_FALSE(pty.readable(pty.slave));
}

TEST(Pty, WindowSize) {
  Pty pty;
  winsize size = {};
  EXPECT_OK(ioctl(pty.slave.get(), TIOCGWINSZ, &size));
  EXPECT_EQ(size.ws_row, 0);
  size = {33, 44, 0, 0};
  EXPECT_OK(ioctl(pty.master.get(), TIOCSWINSZ, &size));
  winsize got = {};
  EXPECT_OK(ioctl(pty.slave.get(), TIOCGWINSZ, &got));
  EXPECT_EQ(got.ws_row, 33);
  EXPECT_EQ(got.ws_col, 44);
}

TEST(Pty, ClosingTheSlaveHangsUpTheMaster) {
  Pty pty;
  EXPECT_EQ(write(pty.slave.get(), "bye", 3), 3);
  pty.slave.reset();
  EXPECT_EQ(pty.shown(), "bye");
  EXPECT_EQ(pty.shown(), "(EIO)");
  pollfd entry = {pty.master.get(), POLLIN, 0};
  EXPECT_EQ(poll(&entry, 1, 0), 1);
  EXPECT_TRUE(entry.revents & POLLHUP);
}

TEST(Pty, ClosingTheMasterHangsUpTheSlave) {
  Pty pty;
  pty.master.reset();
  char byte;
  EXPECT_EQ(read(pty.slave.get(), &byte, 1), 0);
  EXPECT_ERR(write(pty.slave.get(), "x", 1), EIO);
}

TEST(Pty, TcsetsNeedsATerminal) {
  write_file("f", "x");
  UniqueFd fd(MUST(open("f", O_RDWR)));
  termios now;
  EXPECT_ERR(tcgetattr(fd.get(), &now), ENOTTY);
  EXPECT_FALSE(isatty(fd.get()));
}

TEST(Pty, PacketModeTellsOfFlushes) {
  Pty pty;
  int on = 1;
  EXPECT_OK(ioctl(pty.master.get(), TIOCPKT, &on));
  EXPECT_EQ(write(pty.slave.get(), "x", 1), 1);
  EXPECT_EQ(pty.shown(), std::string("\0x", 2));
}

}  // namespace
