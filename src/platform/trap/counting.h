// Counting by kind.
#pragma once
#include <cstdint>

#include "platform/counters.h"
#include "platform/trap/hand_off.h"

namespace usk::platform {

// The bits say what of the listener, the children and another descriptor ended the wait. A look
// that did not wait is counted for what it found only.
void count_wake(Counters& c, unsigned ready, bool slept);
void count_stop(Counters& c, HandOff::Stop why);
void count_command(Counters& c, uint64_t nr);  // Of a StubCall.

}  // namespace usk::platform
