// The way out of the line discipline: OPOST and flow control.
#include <array>

#include "fs/tty/line_discipline.h"

namespace usk {

void LineDiscipline::process(uint8_t c, std::deque<uint8_t>& to) {
  switch (c) {
    case '\n':
      if (termios_.o(ONLRET)) column_ = 0;
      if (termios_.o(ONLCR)) {
        column_ = 0;
        to.push_back('\r');
      }
      canon_column_ = column_;
      break;
    case '\r':
      if (termios_.o(ONOCR) && column_ == 0) return;
      if (termios_.o(OCRNL)) {
        c = '\n';
        if (!termios_.o(ONLRET)) break;
      }
      canon_column_ = column_ = 0;
      break;
    case '\t': {
      const uint32_t spaces = 8 - (column_ & 7);
      column_ += spaces;
      if ((termios_.oflag & TABDLY) == XTABS) {
        to.insert(to.end(), spaces, ' ');
        return;
      }
      break;
    }
    case '\b':
      if (column_ > 0) --column_;
      break;
    default:
      if (c < 0x20 || c == 0x7f) break;
      if (termios_.o(OLCUC) && c >= 'a' && c <= 'z') c -= 'a' - 'A';
      if (!is_continuation(c)) ++column_;
  }
  to.push_back(c);
}

Result<size_t> LineDiscipline::write(IoIn& src, TtyEffects& fx) {
  constexpr size_t kMostPerByte = 8;  // A tab.
  const bool cooked = termios_.o(OPOST);
  std::array<std::byte, 1024> chunk;
  size_t done = 0;
  while (src.size() > 0 && !stopped_) {
    size_t room = kOutputSize - std::min(output_.size(), kOutputSize);
    if (cooked) room /= kMostPerByte;
    const size_t want = std::min({src.size(), room, chunk.size()});
    if (want == 0) break;
    auto n = src.take(std::span(chunk).first(want));
    if (!n) {
      if (done == 0) return Err(n.error());
      break;
    }
    for (std::byte b : std::span(chunk).first(*n)) {
      if (cooked) {
        process(uint8_t(b), output_);
      } else {
        output_.push_back(uint8_t(b));
      }
    }
    done += *n;
    if (*n < want) break;
  }
  if (done == 0 && src.size() > 0) return Err(EAGAIN);
  fx.output = true;
  return done;
}

size_t LineDiscipline::fetch(std::span<uint8_t> dst, TtyEffects& fx) {
  const size_t n = std::min(dst.size(), output_.size());
  std::copy_n(output_.begin(), n, dst.begin());
  output_.erase(output_.begin(), output_.begin() + n);
  if (n > 0 && can_write()) fx.writable = true;
  return n;
}

void LineDiscipline::flush_output(TtyEffects& fx) {
  output_.clear();
  held_echo_.clear();
  fx.packet |= TIOCPKT_FLUSHWRITE;
  fx.writable = true;
}

void LineDiscipline::send(uint8_t c, TtyEffects& fx) {
  if (c == 0) return;
  output_.push_front(c);
  fx.output = true;
}

void LineDiscipline::stop(bool by_call, TtyEffects& fx) {
  if (by_call) stopped_by_call_ = true;
  if (std::exchange(stopped_, true)) return;
  fx.packet = uint8_t((fx.packet & ~TIOCPKT_START) | TIOCPKT_STOP);
}

void LineDiscipline::start(bool by_call, TtyEffects& fx) {
  if (by_call) stopped_by_call_ = false;
  if (!stopped_ || stopped_by_call_) return;
  stopped_ = false;
  output_.insert(output_.end(), held_echo_.begin(), held_echo_.end());
  held_echo_.clear();
  fx.packet = uint8_t((fx.packet & ~TIOCPKT_STOP) | TIOCPKT_START);
  fx.output = fx.writable = true;
}

}  // namespace usk
