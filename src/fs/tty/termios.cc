#include "fs/tty/termios.h"

#include <algorithm>

namespace usk {
namespace {

// Speeds by their CBAUD number: B0..B38400, then those with CBAUDEX.
constexpr uint32_t kSpeeds[] = {0,   50,   75,   110,  134,  150,  200,   300,
                                600, 1200, 1800, 2400, 4800, 9600, 19200, 38400};
constexpr uint32_t kExtraSpeeds[] = {57600,   115200,  230400,  460800,  500000,
                                     576000,  921600,  1000000, 1152000, 1500000,
                                     2000000, 2500000, 3000000, 3500000, 4000000};

// The speed that a CBAUD field names; `other` where it is BOTHER.
uint32_t speed_of(uint32_t cbaud, uint32_t other) {
  if (cbaud == BOTHER) return other;
  if (!(cbaud & CBAUDEX)) return kSpeeds[cbaud & 15];
  const uint32_t index = (cbaud & ~CBAUDEX) - 1;
  return index < std::size(kExtraSpeeds) ? kExtraSpeeds[index] : 0;
}

void take_speeds(Termios& t, uint32_t ispeed, uint32_t ospeed) {
  t.ospeed = speed_of(t.cflag & CBAUD, ospeed);
  const uint32_t in = (t.cflag >> IBSHIFT) & CBAUD;
  t.ispeed = in == 0 ? t.ospeed : speed_of(in, ispeed);
}

template <class Guest>
void fill(Guest& g, const Termios& t) {
  g.c_iflag = t.iflag;
  g.c_oflag = t.oflag;
  g.c_cflag = t.cflag;
  g.c_lflag = t.lflag;
  g.c_line = t.line;
}

template <class Guest>
Termios take(const Termios& base, const Guest& g) {
  Termios t = base;
  t.iflag = g.c_iflag;
  t.oflag = g.c_oflag;
  t.cflag = g.c_cflag;
  t.lflag = g.c_lflag;
  t.line = g.c_line;
  return t;
}

}  // namespace

GuestTermios to_guest(const Termios& t) {
  GuestTermios g{};
  fill(g, t);
  std::ranges::copy(t.cc, g.c_cc);
  return g;
}

GuestTermios2 to_guest2(const Termios& t) {
  GuestTermios2 g{};
  fill(g, t);
  std::ranges::copy(t.cc, g.c_cc);
  g.c_ispeed = t.ispeed;
  g.c_ospeed = t.ospeed;
  return g;
}

GuestTermio to_guest_old(const Termios& t) {
  GuestTermio g{};
  fill(g, t);
  std::copy_n(t.cc.begin(), NCC, g.c_cc);
  return g;
}

Termios from_guest(const Termios& base, const GuestTermios& g) {
  Termios t = take(base, g);
  std::ranges::copy(g.c_cc, t.cc.begin());
  take_speeds(t, base.ispeed, base.ospeed);
  return t;
}

Termios from_guest(const Termios& base, const GuestTermios2& g) {
  Termios t = take(base, g);
  std::ranges::copy(g.c_cc, t.cc.begin());
  take_speeds(t, g.c_ispeed, g.c_ospeed);
  return t;
}

Termios from_guest(const Termios& base, const GuestTermio& g) {
  Termios t = take(base, g);
  // The old call knows only the low half of each flag word.
  t.iflag |= base.iflag & 0xffff0000;
  t.oflag |= base.oflag & 0xffff0000;
  t.cflag |= base.cflag & 0xffff0000;
  t.lflag |= base.lflag & 0xffff0000;
  std::copy_n(g.c_cc, NCC, t.cc.begin());
  take_speeds(t, base.ispeed, base.ospeed);
  return t;
}

}  // namespace usk
