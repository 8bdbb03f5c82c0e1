// The commands' side of a control socket.
#pragma once
#include "base/failure.h"
#include "control/message.h"
#include "control/registry.h"

namespace usk {

class ControlClient {
 public:
  // The exit code where the kernel process ended without a word: killed, or by a bug. What became
  // of the program cannot be known, and 128 + a signal would be a guess.
  static constexpr int kUnknownEnd = 127;

  // Connects to the sandbox that a person names (find_sandbox()).
  static OrFailure<ControlClient> open(const std::string& wanted);
  const SandboxEntry& sandbox() const { return entry_; }
  int fd() const { return stream_.fd(); }

  OrFailure<void> send(const Json& request, std::vector<int> fds = {});
  // The next answer, waited for. An "error" in it is a failure; so is the end of the connection.
  OrFailure<Json> receive();
  // ... if it has arrived.
  OrFailure<std::optional<Json>> received();
  OrFailure<void> read();
  OrFailure<Json> call(const Json& request);

 private:
  ControlClient(SandboxEntry entry, UniqueFd socket)
      : entry_(std::move(entry)), stream_(std::move(socket), kMaxReply) {}
  SandboxEntry entry_;
  MessageStream stream_;
};

// The text without what a terminal would obey.
std::string printable(const std::string& text);

}  // namespace usk
