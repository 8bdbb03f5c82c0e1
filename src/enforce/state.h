// What a checkpoint keeps of a policy at work, beside its rules.
#pragma once
#include <cstdint>

#include "enforce/siphash.h"

namespace usk {

struct EnforcerState {
  bool ghost = false;
  uint64_t denials = 0;  // How many there were: their numbers go on.
  SipKey frame_key;      // Frames that signals have made stay good.
};

}  // namespace usk
