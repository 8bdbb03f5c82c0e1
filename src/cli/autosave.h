// The process that stays while sandboxes under --test-autosave come and go.
#pragma once
#include <string>
#include <vector>

namespace usk {

// Runs `usk` with these arguments, and then each image that a run has left behind, until one ends
// by itself: its exit code. `plan` is what stands behind --test-autosave.
int run_with_autosave(const std::vector<std::string>& arguments, const std::string& plan);

}  // namespace usk
