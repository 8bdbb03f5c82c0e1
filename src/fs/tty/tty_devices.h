// The character devices of major 5: /dev/tty, /dev/console, /dev/ptmx.
#pragma once
#include "fs/tty/tty.h"

namespace usk {

// Makes open_special() find them. `console` is what /dev/console opens; null: ENXIO.
void register_tty_devices(Ref<Tty> console);

}  // namespace usk
