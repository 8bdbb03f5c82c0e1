// Where a core dump goes: a new file, or the standard input of a program.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "fs/vfs/file.h"
#include "kernel/task/task.h"

namespace usk {

// Makes the file `name` from the dumper's working directory, as core(5) has it: a new regular file
// of its own with mode 0600, never one that was there. `as_root` (a dumpable attribute of 2): it
// belongs to root, and takes an absolute path.
Result<Ref<File>> make_core_file(Task& t, const std::string& name, bool as_root);

// Appends to such a file up to a limit; what is skipped becomes a hole.
class CoreFile {
 public:
  CoreFile() = default;
  // `limit` counts what is written and not the holes (Linux does so); `end` is the highest
  // position. A pipe has neither.
  CoreFile(Ref<File> file, uint64_t limit, uint64_t end);

  // A pipe takes nothing more between skip() and the end of flush().
  void put(std::span<const std::byte> bytes);
  void skip(uint64_t length);
  // Whether what is skipped takes no time and place.
  bool has_holes() const { return seeks_; }
  // At most so much at once keeps what waits for a pipe small.
  static constexpr size_t kMostAtOnce = 64 << 10;
  // Makes progress with what a pipe has not yet taken. False: its reader has to go on first.
  bool flush();
  bool is_flushed() const { return rest_.empty() && zeros_ == 0; }
  // Gives a file that ends with a hole its length.
  void finish();
  // Nothing more can be written: the limit, a full disk, a reader that went away.
  bool ended() const { return ended_; }
  uint64_t position() const { return position_; }
  File& file() { return *file_; }
  bool is_whole() const { return bool(file_); }

  USK_FIELDS(file_, seeks_, limit_, end_, position_, written_, rest_, zeros_, trailing_hole_,
             ended_)

 private:
  void write(std::span<const std::byte> bytes);

  Ref<File> file_;
  bool seeks_ = false;
  uint64_t limit_ = 0, end_ = 0;
  uint64_t position_ = 0, written_ = 0;
  std::vector<std::byte> rest_;
  uint64_t zeros_ = 0;
  bool trailing_hole_ = false;
  bool ended_ = false;
};

}  // namespace usk
