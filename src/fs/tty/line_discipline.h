// N_TTY, the line discipline of terminals: termios(3).
#pragma once
#include <deque>
#include <span>

#include "base/fields.h"
#include "base/io.h"
#include "base/result.h"
#include "fs/tty/termios.h"

namespace usk {

// What follows from an operation, for the terminal to do once its lock is free.
struct TtyEffects {
  uint64_t signals = 0;   // Bit n: signal n goes to the foreground group.
  bool readable = false;  // A reader may find input.
  bool output = false;    // There is more output for the device.
  bool writable = false;  // Output may be written again.
  uint8_t packet = 0;     // TIOCPKT_* that the other side is to be told.
};

// Turns bytes from a device into input for programs, with line editing, echo and signals, and
// the bytes that programs write into output for the device. Knows no locks and no processes.
//
// Invariants: the first canon_head_ bytes of input_ are whole lines, each byte that ends one
// being marked; the rest is the line under edit. Without ICANON canon_head_ is 0.
class LineDiscipline {
 public:
  static constexpr size_t kInputSize = 4096;   // Linux: N_TTY_BUF_SIZE
  static constexpr size_t kOutputSize = 8192;  // Linux: a pty's buffer, roughly.

  const Termios& termios() const { return termios_; }
  void set_termios(const Termios& t, TtyEffects& fx);

  // From the device: takes as many of `bytes` as there is room for.
  size_t receive(std::span<const uint8_t> bytes, TtyEffects& fx);
  // To a program: one line at most, or what there is without ICANON. 0: end of file. The caller
  // has seen input_available().
  Result<size_t> read(IoOut& dst);
  // Whether a read finds something: a line, or without ICANON at least `amount` bytes.
  bool input_available(size_t amount) const;
  size_t input_bytes() const { return input_.size(); }
  // FIONREAD
  size_t readable_bytes() const;
  void flush_input(TtyEffects& fx);

  // From a program: how many bytes of `src` went out; EAGAIN when none fits or output is
  // stopped.
  Result<size_t> write(IoIn& src, TtyEffects& fx);
  bool can_write() const { return !stopped_ && output_.size() < kOutputSize - 256; }
  // For the device.
  size_t output_bytes() const { return output_.size(); }
  size_t fetch(std::span<uint8_t> dst, TtyEffects& fx);
  void flush_output(TtyEffects& fx);
  // A character outside the stream (TCIOFF, TCION).
  void send(uint8_t c, TtyEffects& fx);

  // ^S and ^Q; `by_call`: TCOOFF and TCOON, which characters do not undo.
  void stop(bool by_call, TtyEffects& fx);
  void start(bool by_call, TtyEffects& fx);

  // Of a loaded one: whether its buffers can be what they say.
  bool is_valid() const;

  USK_FIELDS(termios_, input_, canon_head_, output_, held_echo_, column_, canon_column_,
             literal_next_, erasing_, stopped_, stopped_by_call_)

 private:
  // A byte of input, and whether it ends a line.
  static constexpr uint16_t kLineEnd = 0x100;

  void receive_one(uint8_t c, TtyEffects& fx);
  bool handle_flow_and_signals(uint8_t c, TtyEffects& fx);
  bool handle_editing(uint8_t c, TtyEffects& fx);
  bool handle_line_end(uint8_t c, TtyEffects& fx);
  void handle_signal(int signal, uint8_t c, TtyEffects& fx);
  void put_input(uint8_t c);
  void end_line(uint8_t c, TtyEffects& fx);
  bool has_partial_line() const { return input_.size() > canon_head_; }
  bool is_continuation(uint8_t c) const;
  Result<size_t> read_line(IoOut& dst);
  Result<size_t> read_raw(IoOut& dst);

  void erase(uint8_t c, TtyEffects& fx);
  bool kill_whole_line(uint8_t c, TtyEffects& fx);
  size_t last_character() const;
  void echo_erased(std::span<const uint16_t> erased, bool by_erase, TtyEffects& fx);
  void echo_erased_tab(TtyEffects& fx);
  void finish_erasing(TtyEffects& fx);

  void echo(uint8_t c, TtyEffects& fx);
  void echo_input(uint8_t c, TtyEffects& fx);
  void echo_raw(uint8_t c, TtyEffects& fx);
  void put_echo(uint8_t c, TtyEffects& fx);
  // One character through OPOST to `to`.
  void process(uint8_t c, std::deque<uint8_t>& to);

  Termios termios_;
  std::deque<uint16_t> input_;
  size_t canon_head_ = 0;
  std::deque<uint8_t> output_;
  std::deque<uint8_t> held_echo_;  // Echo while output is stopped.
  uint32_t column_ = 0;
  uint32_t canon_column_ = 0;  // Where the line under edit began.
  bool literal_next_ = false;
  bool erasing_ = false;  // ECHOPRT: between "\" and "/".
  bool stopped_ = false, stopped_by_call_ = false;
};

}  // namespace usk
