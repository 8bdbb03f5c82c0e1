// The host's random numbers: getrandom(2).
#pragma once
#include <cstddef>
#include <span>

namespace usk::host {

// Fills `out`. Waits for the host's pool only if the host has just booted.
void fill_random(std::span<std::byte> out);

}  // namespace usk::host
