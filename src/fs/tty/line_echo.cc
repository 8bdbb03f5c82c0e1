// Echo and erasing of the line discipline.
#include <algorithm>
#include <vector>

#include "fs/tty/line_discipline.h"

namespace usk {
namespace {

bool is_control(uint8_t c) { return c < 0x20 || c == 0x7f; }
bool is_word(uint8_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

}  // namespace

void LineDiscipline::put_echo(uint8_t c, TtyEffects& fx) {
  auto& to = stopped_ ? held_echo_ : output_;
  // Echo may go beyond what programs may fill; a device that takes nothing loses it.
  if (to.size() >= kOutputSize + kInputSize) return;
  if (termios_.o(OPOST)) {
    process(c, to);
  } else {
    to.push_back(c);
  }
  fx.output = true;
}

void LineDiscipline::echo_raw(uint8_t c, TtyEffects& fx) { put_echo(c, fx); }

void LineDiscipline::echo(uint8_t c, TtyEffects& fx) {
  if (!termios_.l(ECHOCTL) || !is_control(c) || c == '\t') return put_echo(c, fx);
  auto& to = stopped_ ? held_echo_ : output_;
  if (to.size() >= kOutputSize + kInputSize) return;
  to.push_back('^');
  to.push_back(c ^ 0x40);
  column_ += 2;
  fx.output = true;
}

void LineDiscipline::echo_input(uint8_t c, TtyEffects& fx) {
  if (!has_partial_line()) canon_column_ = column_;
  echo(c, fx);
}

void LineDiscipline::finish_erasing(TtyEffects& fx) {
  if (!std::exchange(erasing_, false)) return;
  echo_raw('/', fx);
}

// Where the last character of the line under edit begins, all of its bytes together.
size_t LineDiscipline::last_character() const {
  size_t at = input_.size() - 1;
  while (at > canon_head_ && is_continuation(uint8_t(input_[at]))) --at;
  return at;
}

bool LineDiscipline::kill_whole_line(uint8_t c, TtyEffects& fx) {
  const bool shows_each = termios_.l(ECHOK) && termios_.l(ECHOKE) && termios_.l(ECHOE);
  if (termios_.l(ECHO) && shows_each) return false;
  input_.resize(canon_head_);
  if (termios_.l(ECHO)) {
    finish_erasing(fx);
    echo(c, fx);
    if (termios_.l(ECHOK)) echo_raw('\n', fx);
  }
  return true;
}

void LineDiscipline::erase(uint8_t c, TtyEffects& fx) {
  if (!has_partial_line()) return;
  const bool by_erase = termios_.is(c, VERASE);
  const bool by_word = !by_erase && termios_.l(IEXTEN) && termios_.is(c, VWERASE);
  if (!by_erase && !by_word && kill_whole_line(c, fx)) return;
  bool seen_word = false;
  while (has_partial_line()) {
    const size_t at = last_character();
    const auto first = uint8_t(input_[at]);
    if (is_continuation(first)) break;  // Never a part of a character.
    if (by_word) {
      if (is_word(first)) {
        seen_word = true;
      } else if (seen_word) {
        break;
      }
    }
    const std::vector<uint16_t> erased(input_.begin() + at, input_.end());
    input_.resize(at);
    if (termios_.l(ECHO)) echo_erased(erased, by_erase, fx);
    if (by_erase) break;
  }
  if (!has_partial_line() && termios_.l(ECHO)) finish_erasing(fx);
}

void LineDiscipline::echo_erased(std::span<const uint16_t> erased, bool by_erase, TtyEffects& fx) {
  const auto c = uint8_t(erased[0]);
  if (termios_.l(ECHOPRT)) {
    if (!std::exchange(erasing_, true)) echo_raw('\\', fx);
    echo(c, fx);
    for (uint16_t more : erased.subspan(1)) echo_raw(uint8_t(more), fx);
  } else if (by_erase && !termios_.l(ECHOE)) {
    echo(termios_.cc[VERASE], fx);
  } else if (c == '\t') {
    echo_erased_tab(fx);
  } else {
    const bool as_control = is_control(c) && termios_.l(ECHOCTL);
    const int columns = as_control ? 2 : is_control(c) ? 0 : 1;
    for (int i = 0; i < columns; ++i) {
      for (uint8_t e : {'\b', ' ', '\b'}) echo_raw(e, fx);
    }
  }
}

// Moves back over a tab: to where the characters before it end.
void LineDiscipline::echo_erased_tab(TtyEffects& fx) {
  uint32_t columns = 0;
  size_t at = input_.size();
  bool after_tab = false;
  while (at > canon_head_ && !after_tab) {
    const auto c = uint8_t(input_[--at]);
    if (c == '\t') {
      after_tab = true;
    } else if (is_control(c)) {
      if (termios_.l(ECHOCTL)) columns += 2;
    } else if (!is_continuation(c)) {
      ++columns;
    }
  }
  if (!after_tab) columns += canon_column_;
  for (uint32_t n = 8 - (columns & 7); n > 0; --n) echo_raw('\b', fx);
}

}  // namespace usk
