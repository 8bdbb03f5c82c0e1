#include "fs/tty/tty_devices.h"

#include "fs/tty/devpts.h"
#include "fs/tty/tty_file.h"
#include "fs/vfs/special_open.h"

namespace usk {
namespace {

constexpr uint32_t kTtyMajor = 5;
enum : uint32_t { kOwnTty = 0, kConsole = 1, kPtmx = 2 };

Ref<Tty>& the_console() {
  static Ref<Tty> console;
  return console;
}

// Linux: opening the console never makes it the controlling terminal of its opener by itself.
Result<Ref<File>> open_console(Inode&, Path path, int flags, Ref<const Creds> creds) {
  if (!the_console()) return Err(ENXIO);
  return TtyFile::open(the_console(), std::move(path), flags, std::move(creds));
}

}  // namespace

void register_tty_devices(Ref<Tty> console) {
  the_console() = std::move(console);
  register_device_opener(false, kTtyMajor, kOwnTty, 1, open_own_tty);
  register_device_opener(false, kTtyMajor, kConsole, 1, open_console);
  register_device_opener(false, kTtyMajor, kPtmx, 1, open_ptmx);
}

}  // namespace usk
