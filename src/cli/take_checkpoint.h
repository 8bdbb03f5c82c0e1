// usk checkpoint ID -o DIR: the command's side.
#pragma once
#include <string>

#include "base/failure.h"

namespace usk {

struct CheckpointAsked {
  std::string sandbox, directory;
  bool leave_running = false;
  bool compressed = false, files_hashed = false;
  std::string base;  // An image whose pages need not be written again.
};

// Writes an image of a running sandbox. Until it stands in its place the sandbox waits; if this
// fails, is interrupted (SIGINT, SIGTERM) or killed, it runs on, and nothing is under that name.
OrFailure<void> take_checkpoint(const CheckpointAsked& asked);

}  // namespace usk
