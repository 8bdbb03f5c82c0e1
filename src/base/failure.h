// Why Usk itself could not do what a person asked: start-up, command line, control socket.
#pragma once
#include <expected>
#include <string>

namespace usk {

// A message for a person, which gains context on its way up, and the exit code that goes with it
// (125 set-up, 126 cannot run, 127 not found, as env(1) and docker do).
struct Failure {
  std::string message;
  int exit_code = 125;
};

template <class T = void>
using OrFailure = std::expected<T, Failure>;

inline std::unexpected<Failure> fail(std::string message, int exit_code = 125) {
  return std::unexpected(Failure{std::move(message), exit_code});
}

}  // namespace usk
