#include "fs/tty/line_discipline.h"

#include <signal.h>

#include <array>

namespace usk {

void LineDiscipline::set_termios(const Termios& t, TtyEffects& fx) {
  const bool canon_changes = (termios_.lflag ^ t.lflag) & ICANON;
  termios_ = t;
  if (canon_changes) {
    // Linux: what was typed before becomes one line, or plain bytes.
    for (uint16_t& cell : input_) cell &= 0xff;
    canon_head_ = 0;
    if (t.l(ICANON) && !input_.empty()) {
      input_.back() |= kLineEnd;
      canon_head_ = input_.size();
    }
    erasing_ = literal_next_ = false;
  }
  if (!t.i(IXON) && stopped_ && !stopped_by_call_) start(false, fx);
  fx.readable = true;
}

bool LineDiscipline::is_valid() const {
  if (input_.size() > kInputSize || output_.size() > 2 * kOutputSize) return false;
  if (held_echo_.size() > 2 * kOutputSize || canon_head_ > input_.size()) return false;
  return canon_head_ == 0 || (input_[canon_head_ - 1] & kLineEnd);
}

bool LineDiscipline::is_continuation(uint8_t c) const {
  return termios_.i(IUTF8) && (c & 0xc0) == 0x80;
}

size_t LineDiscipline::receive(std::span<const uint8_t> bytes, TtyEffects& fx) {
  size_t n = 0;
  for (; n < bytes.size(); ++n) {
    if (input_.size() >= kInputSize - 1) {
      // Linux: an overlong line drops its end, so that a newline still gets in; but input that
      // programs may read waits.
      if (!termios_.l(ICANON) || canon_head_ > 0) break;
      if (input_.size() >= kInputSize) input_.pop_back();
    }
    receive_one(bytes[n], fx);
  }
  if (!input_.empty() && !(termios_.l(ICANON) && canon_head_ == 0)) fx.readable = true;
  return n;
}

void LineDiscipline::receive_one(uint8_t c, TtyEffects& fx) {
  if (termios_.i(ISTRIP)) c &= 0x7f;
  if (termios_.i(IUCLC) && termios_.l(IEXTEN) && c >= 'A' && c <= 'Z') c += 'a' - 'A';
  if (termios_.l(EXTPROC)) return put_input(c);
  const bool literal = std::exchange(literal_next_, false);
  if (!literal) {
    if (handle_flow_and_signals(c, fx)) return;
    if (c == '\r') {
      if (termios_.i(IGNCR)) return;
      if (termios_.i(ICRNL)) c = '\n';
    } else if (c == '\n' && termios_.i(INLCR)) {
      c = '\r';
    }
    if (termios_.l(ICANON) && (handle_editing(c, fx) || handle_line_end(c, fx))) return;
  }
  if (termios_.l(ECHO)) {
    finish_erasing(fx);
    if (c == '\n' && !literal) {
      echo_raw('\n', fx);
    } else {
      echo_input(c, fx);
    }
  }
  if (termios_.i(PARMRK) && c == 0xff) put_input(c);
  put_input(c);
}

bool LineDiscipline::handle_flow_and_signals(uint8_t c, TtyEffects& fx) {
  if (termios_.i(IXON)) {
    if (termios_.is(c, VSTART)) return start(false, fx), true;
    if (termios_.is(c, VSTOP)) return stop(false, fx), true;
  }
  if (termios_.l(ISIG)) {
    if (termios_.is(c, VINTR)) return handle_signal(SIGINT, c, fx), true;
    if (termios_.is(c, VQUIT)) return handle_signal(SIGQUIT, c, fx), true;
    if (termios_.is(c, VSUSP)) return handle_signal(SIGTSTP, c, fx), true;
  }
  if (stopped_ && !stopped_by_call_ && termios_.i(IXON) && termios_.i(IXANY)) start(false, fx);
  return false;
}

void LineDiscipline::handle_signal(int signal, uint8_t c, TtyEffects& fx) {
  fx.signals |= uint64_t(1) << signal;
  if (!termios_.l(NOFLSH)) {
    flush_input(fx);
    flush_output(fx);
  }
  if (termios_.i(IXON) && stopped_ && !stopped_by_call_) start(false, fx);
  if (termios_.l(ECHO)) echo(c, fx);
}

bool LineDiscipline::handle_editing(uint8_t c, TtyEffects& fx) {
  const bool extended = termios_.l(IEXTEN);
  if (termios_.is(c, VERASE) || termios_.is(c, VKILL) || (extended && termios_.is(c, VWERASE))) {
    erase(c, fx);
    return true;
  }
  if (extended && termios_.is(c, VLNEXT)) {
    literal_next_ = true;
    if (termios_.l(ECHO)) {
      finish_erasing(fx);
      if (termios_.l(ECHOCTL)) {
        echo_raw('^', fx);
        echo_raw('\b', fx);
      }
    }
    return true;
  }
  if (extended && termios_.l(ECHO) && termios_.is(c, VREPRINT)) {
    finish_erasing(fx);
    echo(c, fx);
    echo_raw('\n', fx);
    for (size_t i = canon_head_; i < input_.size(); ++i) echo(uint8_t(input_[i]), fx);
    return true;
  }
  return false;
}

bool LineDiscipline::handle_line_end(uint8_t c, TtyEffects& fx) {
  if (c == '\n') {
    if (termios_.l(ECHO) || termios_.l(ECHONL)) echo_raw('\n', fx);
    end_line(c, fx);
    return true;
  }
  if (termios_.is(c, VEOF)) {
    end_line(0, fx);
    return true;
  }
  if (termios_.is(c, VEOL) || (termios_.l(IEXTEN) && termios_.is(c, VEOL2))) {
    if (termios_.l(ECHO)) echo_input(c, fx);
    if (termios_.i(PARMRK) && c == 0xff) put_input(c);
    end_line(c, fx);
    return true;
  }
  return false;
}

void LineDiscipline::put_input(uint8_t c) {
  // PARMRK doubles a byte where room for one was checked.
  if (input_.size() < kInputSize) input_.push_back(c);
}

void LineDiscipline::end_line(uint8_t c, TtyEffects& fx) {
  if (input_.size() >= kInputSize) input_.pop_back();
  input_.push_back(uint16_t(c | kLineEnd));
  canon_head_ = input_.size();
  fx.readable = true;
}

bool LineDiscipline::input_available(size_t amount) const {
  if (termios_.l(ICANON) && !termios_.l(EXTPROC)) return canon_head_ > 0;
  return !input_.empty() && input_.size() >= amount;
}

size_t LineDiscipline::readable_bytes() const {
  if (!termios_.l(ICANON) || termios_.l(EXTPROC)) return input_.size();
  size_t n = 0;
  for (size_t i = 0; i < canon_head_; ++i) n += input_[i] != kLineEnd;  // Not the VEOF marks.
  return n;
}

Result<size_t> LineDiscipline::read(IoOut& dst) {
  return termios_.l(ICANON) && !termios_.l(EXTPROC) ? read_line(dst) : read_raw(dst);
}

Result<size_t> LineDiscipline::read_line(IoOut& dst) {
  std::array<uint8_t, kInputSize> line;
  size_t n = 0, cells = 0;
  bool ended = false;
  while (cells < canon_head_ && n < std::min(dst.size(), line.size()) && !ended) {
    const uint16_t cell = input_[cells++];
    ended = cell & kLineEnd;
    if (cell != kLineEnd) line[n++] = uint8_t(cell);
  }
  // Linux: a VEOF right behind what the buffer holds ends this read, not the next.
  if (!ended && cells < canon_head_ && input_[cells] == kLineEnd) ++cells;
  if (n > 0) {
    if (TRY(dst.put(std::as_bytes(std::span(line).first(n)))) != n) return Err(EFAULT);
  }
  input_.erase(input_.begin(), input_.begin() + cells);
  canon_head_ -= cells;
  return n;
}

Result<size_t> LineDiscipline::read_raw(IoOut& dst) {
  std::array<uint8_t, kInputSize> bytes;
  const size_t want = std::min(dst.size(), input_.size());
  for (size_t i = 0; i < want; ++i) bytes[i] = uint8_t(input_[i]);
  const size_t n = TRY(dst.put(std::as_bytes(std::span(bytes).first(want))));
  input_.erase(input_.begin(), input_.begin() + n);
  canon_head_ -= std::min(canon_head_, n);
  return n;
}

void LineDiscipline::flush_input(TtyEffects& fx) {
  input_.clear();
  canon_head_ = 0;
  erasing_ = literal_next_ = false;
  fx.packet |= TIOCPKT_FLUSHREAD;
}

}  // namespace usk
