// Terminal attributes as the guest sees them: termios(3), ioctl_tty(2).
#pragma once
#include <asm/termbits.h>
#include <sys/ioctl.h>

#include <array>
#include <cstdint>

#include "base/fields.h"

namespace usk {

// Linux's struct ktermios; the guest's termios is its front, termios2 all of it.
struct Termios {
  uint32_t iflag = ICRNL | IXON;
  uint32_t oflag = OPOST | ONLCR;
  uint32_t cflag = B38400 | CS8 | CREAD;
  uint32_t lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  uint8_t line = 0;
  std::array<uint8_t, NCCS> cc = {3,    0x1c, 0x7f, 0x15, 4,    0,    1, 0, 0x11, 0x13,
                                  0x1a, 0,    0x12, 0x0f, 0x17, 0x16, 0, 0, 0};
  uint32_t ispeed = 38400, ospeed = 38400;

  bool i(uint32_t bit) const { return iflag & bit; }
  bool o(uint32_t bit) const { return oflag & bit; }
  bool l(uint32_t bit) const { return lflag & bit; }
  // Whether `c` is the control character of index `which`; 0 disables one.
  bool is(uint8_t c, int which) const { return c != 0 && cc[which] == c; }

  friend bool operator==(const Termios&, const Termios&) = default;
  USK_FIELDS(iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed)
};

// The layouts of TCGETS, TCGETS2 and TCGETA.
using GuestTermios = ::termios;
using GuestTermios2 = ::termios2;
using GuestTermio = ::termio;
static_assert(sizeof(GuestTermios) == 36 && sizeof(GuestTermios2) == 44 &&
              sizeof(GuestTermio) == 18);

GuestTermios to_guest(const Termios& t);
GuestTermios2 to_guest2(const Termios& t);
GuestTermio to_guest_old(const Termios& t);
// What is not in the argument keeps its value in `base`.
Termios from_guest(const Termios& base, const GuestTermios& g);
Termios from_guest(const Termios& base, const GuestTermios2& g);
Termios from_guest(const Termios& base, const GuestTermio& g);

}  // namespace usk
