#include "fs/tty/line_discipline.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>
#include <string_view>

namespace usk {
namespace {

class LineTest : public ::testing::Test {
 protected:
  void type(std::string_view s) {
    line_.receive({reinterpret_cast<const uint8_t*>(s.data()), s.size()}, fx_);
  }
  // What one read gives; "EAGAIN" when there is nothing.
  std::string read(size_t n = 8192) {
    if (!line_.input_available(1)) return "EAGAIN";
    std::string s(n, '\0');
    KernelOut out(std::as_writable_bytes(std::span(s)));
    s.resize(*line_.read(out));
    return s;
  }
  void write(std::string_view s) {
    KernelIn in(std::as_bytes(std::span(s)));
    ASSERT_TRUE(line_.write(in, fx_));
  }
  // What went to the screen.
  std::string screen() {
    std::string s(100'000, '\0');
    s.resize(line_.fetch({reinterpret_cast<uint8_t*>(s.data()), s.size()}, fx_));
    return s;
  }
  template <class F>
  void change(F f) {
    Termios t = line_.termios();
    f(t);
    line_.set_termios(t, fx_);
  }
  LineDiscipline line_;
  TtyEffects fx_;
};

TEST_F(LineTest, LinesComeOneByOne) {
  type("one");
  EXPECT_EQ(read(), "EAGAIN");
  type("\ntwo\nthr");
  EXPECT_EQ(read(), "one\n");
  EXPECT_EQ(read(2), "tw");
  EXPECT_EQ(read(), "o\n");
  EXPECT_EQ(read(), "EAGAIN");
}

TEST_F(LineTest, EchoesWithNewlinesCooked) {
  type("a\r");
  EXPECT_EQ(screen(), "a\r\n");
  EXPECT_EQ(read(), "a\n");
}

TEST_F(LineTest, EraseTakesTheLastCharacter) {
  type(
      "ab\x7f"
      "c\n");
  EXPECT_EQ(read(), "ac\n");
  EXPECT_EQ(screen(), "ab\b \bc\r\n");
}

TEST_F(LineTest, EraseKnowsUtf8) {
  change([](Termios& t) { t.iflag |= IUTF8; });
  type("a\xc3\xa4\x7f\n");
  EXPECT_EQ(read(), "a\n");
  EXPECT_EQ(screen(), "a\xc3\xa4\b \b\r\n");
}

TEST_F(LineTest, EraseStopsAtTheLineBefore) {
  type("x\n\x7f\x7f");
  EXPECT_EQ(read(), "x\n");
  EXPECT_EQ(read(), "EAGAIN");
}

TEST_F(LineTest, EraseOfControlCharactersTakesTwoColumns) {
  type("\x01\x7f\n");
  EXPECT_EQ(screen(), "^A\b \b\b \b\r\n");
}

TEST_F(LineTest, EraseOfATabGoesBackToWhereItBegan) {
  type("ab\t\x7f");
  EXPECT_EQ(screen(), "ab\t\b\b\b\b\b\b");
}

TEST_F(LineTest, WordErase) {
  type(
      "rm -rf foo\x17"
      "bar\n");
  EXPECT_EQ(read(), "rm -rf bar\n");
}

TEST_F(LineTest, KillTakesTheLine) {
  type("rm -rf\x15ls\n");
  EXPECT_EQ(read(), "ls\n");
  EXPECT_EQ(screen().substr(0, 9), "rm -rf\b \b");
}

TEST_F(LineTest, KillWithoutEchokeStartsANewLine) {
  change([](Termios& t) { t.lflag &= ~ECHOKE; });
  type("abc\x15");
  EXPECT_EQ(screen(), "abc^U\r\n");
}

TEST_F(LineTest, PrintingErase) {
  change([](Termios& t) { t.lflag |= ECHOPRT; });
  type("abc\x7f\x7fx\n");
  EXPECT_EQ(screen(), "abc\\cb/x\r\n");
  EXPECT_EQ(read(), "ax\n");
}

TEST_F(LineTest, EndOfFile) {
  type("\x04");
  EXPECT_EQ(read(), "");
  EXPECT_EQ(read(), "EAGAIN");
  type("tail\x04");
  EXPECT_EQ(line_.readable_bytes(), 4u);
  EXPECT_EQ(read(), "tail");
  EXPECT_EQ(read(), "EAGAIN");
}

TEST_F(LineTest, EndOfFileBehindAFullBufferIsNotSeenTwice) {
  type("tail\x04");
  EXPECT_EQ(read(4), "tail");
  EXPECT_EQ(read(4), "EAGAIN");
}

TEST_F(LineTest, OtherLineEnds) {
  change([](Termios& t) {
    t.cc[VEOL] = ';';
    t.cc[VEOL2] = '.';
  });
  type("a;b.c\n");
  EXPECT_EQ(read(), "a;");
  EXPECT_EQ(read(), "b.");
  EXPECT_EQ(read(), "c\n");
}

TEST_F(LineTest, LiteralNext) {
  type(
      "a\x16\x03"
      "b\x16\x7f\n");
  EXPECT_EQ(fx_.signals, 0u);
  EXPECT_EQ(read(),
            "a\x03"
            "b\x7f\n");
  EXPECT_EQ(screen(), "a^\b^Cb^\b^?\r\n");
}

TEST_F(LineTest, Reprint) {
  type("abc\x12");
  EXPECT_EQ(screen(), "abc^R\r\nabc");
}

TEST_F(LineTest, SignalsFlushUnlessNoflsh) {
  type("abc");
  write("output");
  type("\x03");
  EXPECT_EQ(fx_.signals, uint64_t(1) << SIGINT);
  EXPECT_EQ(screen(), "^C");
  type("\n");
  EXPECT_EQ(read(), "\n");
  change([](Termios& t) { t.lflag |= NOFLSH; });
  fx_ = {};
  type("abc\x1c\x1a\n");
  EXPECT_EQ(fx_.signals, uint64_t(1) << SIGQUIT | uint64_t(1) << SIGTSTP);
  EXPECT_EQ(read(), "abc\n");
}

TEST_F(LineTest, WithoutIsigTheyAreInput) {
  change([](Termios& t) { t.lflag &= ~ISIG; });
  type("\x03\n");
  EXPECT_EQ(fx_.signals, 0u);
  EXPECT_EQ(read(), "\x03\n");
}

TEST_F(LineTest, FlowControl) {
  type("\x13");
  KernelIn in(std::as_bytes(std::span("x", 1)));
  EXPECT_TRUE(failed_with(line_.write(in, fx_), EAGAIN));
  EXPECT_FALSE(line_.can_write());
  type("ab");
  EXPECT_EQ(screen(), "");  // The echo waits too.
  type("\x11");
  EXPECT_EQ(screen(), "ab");
  EXPECT_TRUE(line_.can_write());
  EXPECT_TRUE(fx_.writable);
}

TEST_F(LineTest, AnyCharacterRestartsWithIxany) {
  change([](Termios& t) { t.iflag |= IXANY; });
  type("\x13");
  type("a");
  EXPECT_TRUE(line_.can_write());
  line_.stop(true, fx_);
  type("b\x11");
  EXPECT_FALSE(line_.can_write());  // TCOOFF is undone by TCOON alone.
  line_.start(true, fx_);
  EXPECT_TRUE(line_.can_write());
}

TEST_F(LineTest, InputMappings) {
  change([](Termios& t) { t.iflag = INLCR; });
  type("a\n");
  EXPECT_EQ(read(), "EAGAIN");  // It became a carriage return.
  change([](Termios& t) { t.iflag = IGNCR | ISTRIP | IUCLC; });
  type("\rB\xc1\n");
  EXPECT_EQ(read(), "a\rba\n");
}

TEST_F(LineTest, OutputMappings) {
  write("a\nb");
  EXPECT_EQ(screen(), "a\r\nb");
  change([](Termios& t) { t.oflag = OPOST | OCRNL | OLCUC; });
  write("x\ry");
  EXPECT_EQ(screen(), "X\nY");
  change([](Termios& t) { t.oflag = OPOST | ONOCR | ONLRET; });
  write("\n\rz\r");
  EXPECT_EQ(screen(), "\nz\r");
  change([](Termios& t) { t.oflag = 0; });
  write("a\nb");
  EXPECT_EQ(screen(), "a\nb");
}

TEST_F(LineTest, TabsExpand) {
  change([](Termios& t) { t.oflag |= XTABS; });
  write("ab\tc");
  EXPECT_EQ(screen(), "ab      c");
}

TEST_F(LineTest, RawModeGivesBytes) {
  change([](Termios& t) { t.lflag &= ~(ICANON | ECHO); });
  type("ab\x7f");
  EXPECT_TRUE(line_.input_available(3));
  EXPECT_FALSE(line_.input_available(4));
  EXPECT_EQ(read(), "ab\x7f");
  EXPECT_EQ(screen(), "");
}

TEST_F(LineTest, ModeChangesKeepInput) {
  change([](Termios& t) { t.lflag &= ~ICANON; });
  type("raw");
  change([](Termios& t) { t.lflag |= ICANON; });
  EXPECT_EQ(read(), "raw");
  type("line\nrest");
  change([](Termios& t) { t.lflag &= ~ICANON; });
  EXPECT_EQ(read(), "line\nrest");
}

TEST_F(LineTest, LongLinesLoseTheirEnd) {
  type(std::string(5000, 'x'));
  EXPECT_EQ(read(), "EAGAIN");
  type("\n");
  const std::string line = read();
  EXPECT_EQ(line.size(), 4096u);
  EXPECT_EQ(line.back(), '\n');
}

TEST_F(LineTest, FullInputWaits) {
  change([](Termios& t) { t.lflag &= ~ICANON; });
  const std::string many(5000, 'x');
  EXPECT_EQ(line_.receive({reinterpret_cast<const uint8_t*>(many.data()), 5000}, fx_), 4095u);
  read(100);
  EXPECT_EQ(line_.receive({reinterpret_cast<const uint8_t*>(many.data()), 5000}, fx_), 100u);
}

TEST_F(LineTest, OutputIsBounded) {
  change([](Termios& t) { t.oflag = 0; });
  const std::string many(20'000, 'x');
  KernelIn in(std::as_bytes(std::span(many)));
  EXPECT_EQ(line_.write(in, fx_), LineDiscipline::kOutputSize);
  EXPECT_TRUE(failed_with(line_.write(in, fx_), EAGAIN));
  for (int i = 0; i < 20; ++i) type(std::string(1000, 'e') + "\n\x15");
  EXPECT_LE(line_.output_bytes(), LineDiscipline::kOutputSize + LineDiscipline::kInputSize + 8);
}

TEST_F(LineTest, ParmrkDoublesAndExtprocPassesAll) {
  change([](Termios& t) {
    t.iflag |= PARMRK;
    t.lflag &= ~ICANON;
  });
  type("\xff");
  EXPECT_EQ(read(), "\xff\xff");
  change([](Termios& t) { t.lflag |= EXTPROC | ICANON; });
  type("a\x03\x7f");
  EXPECT_EQ(read(), "a\x03\x7f");
}

}  // namespace
}  // namespace usk
