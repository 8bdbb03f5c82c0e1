#include "control/message.h"

#include <array>
#include <cstring>

#include "host/local_socket.h"

namespace usk {
namespace {

constexpr size_t kHeader = sizeof(uint32_t);

}  // namespace

void MessageStream::put(const Json& message, std::vector<int> fds) {
  const std::string text = to_text(message);
  const uint32_t length = uint32_t(text.size());
  out_.append(reinterpret_cast<const char*>(&length), kHeader);
  out_ += text;
  if (!fds.empty()) fds_ = std::move(fds);
}

Result<void> MessageStream::write_out() {
  size_t done = 0;
  while (done < out_.size()) {
    auto n = host::send_with_fds(fd(), std::as_bytes(std::span(out_).subspan(done)), fds_);
    if (!n) {
      out_.erase(0, done);
      return std::unexpected(n.error());
    }
    fds_.clear();
    done += *n;
  }
  out_.clear();
  return {};
}

Result<void> MessageStream::read_in() {
  std::array<std::byte, 65536> buf;
  host::ReceivedBytes got = TRY(host::receive_with_fds(fd(), buf));
  if (got.size == 0) return Err(EPIPE);
  in_.append(reinterpret_cast<const char*>(buf.data()), got.size);
  for (UniqueFd& f : got.fds) {
    if (received_fds_.size() < kMaxFds) received_fds_.push_back(std::move(f));
  }
  return {};
}

Result<std::optional<Json>> MessageStream::next() {
  uint32_t length = 0;
  if (in_.size() < kHeader) return std::nullopt;
  memcpy(&length, in_.data(), kHeader);
  if (length > max_received_) return Err(EMSGSIZE);
  if (in_.size() - kHeader < length) return std::nullopt;
  auto json = parse_object(std::string_view(in_).substr(kHeader, length));
  in_.erase(0, kHeader + length);
  if (!json) return Err(EBADMSG);
  return json;
}

void MessageStream::close() {
  socket_.reset();
  out_ = in_ = {};
  received_fds_.clear();
}

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::optional<Json> parse_object(std::string_view text) {
  // Deep nesting is refused: destroying it would recurse as deeply.
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= 8; };
  Json json = Json::parse(text, shallow, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  return json;
}

std::string text_of(const Json& object, const char* key, std::string_view otherwise) {
  auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return std::string(otherwise);
  return it->get<std::string>();
}

int64_t number_of(const Json& object, const char* key, int64_t otherwise) {
  auto it = object.find(key);
  if (it == object.end() || !it->is_number_integer()) return otherwise;
  return it->get<int64_t>();
}

std::vector<std::string> texts_of(const Json& object, const char* key) {
  std::vector<std::string> out;
  auto it = object.find(key);
  if (it == object.end() || !it->is_array()) return out;
  for (const Json& j : *it) {
    if (j.is_string()) out.push_back(j.get<std::string>());
  }
  return out;
}

}  // namespace usk
