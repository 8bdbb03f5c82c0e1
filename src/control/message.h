// JSON messages on a local socket: four bytes of length (little-endian), then the text.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/host_fd.h"

namespace usk {

using Json = nlohmann::json;

constexpr size_t kMaxRequest = 8 << 20;  // Arguments and environment of a program fit.
constexpr size_t kMaxReply = 64 << 20;
constexpr size_t kMaxFds = 8;  // Descriptors with a message.

// Works on blocking and non-blocking sockets; on the latter both directions end with EAGAIN.
class MessageStream {
 public:
  MessageStream(UniqueFd socket, size_t max_received)
      : socket_(std::move(socket)), max_received_(max_received) {}
  int fd() const { return socket_.get(); }

  // Queues a message. `fds` (of the first message only) stay the caller's until write_out().
  void put(const Json& message, std::vector<int> fds = {});
  bool has_output() const { return !out_.empty(); }
  Result<void> write_out();

  // Receives once. EPIPE: the peer has closed.
  Result<void> read_in();
  // The next whole message. EMSGSIZE: longer than allowed; EBADMSG: not a JSON object.
  Result<std::optional<Json>> next();
  // Drops what was not sent or read.
  void close();
  std::vector<UniqueFd> take_fds() { return std::exchange(received_fds_, {}); }

 private:
  UniqueFd socket_;
  const size_t max_received_;
  std::string out_, in_;
  std::vector<int> fds_;
  std::vector<UniqueFd> received_fds_;
};

// JSON that survives any bytes in its strings.
std::string to_text(const Json& json, int indent = -1);
std::optional<Json> parse_object(std::string_view text);
// Members of an object, with a default for one that is missing or of another type.
std::string text_of(const Json& object, const char* key, std::string_view otherwise = "");
int64_t number_of(const Json& object, const char* key, int64_t otherwise = 0);
std::vector<std::string> texts_of(const Json& object, const char* key);

}  // namespace usk
