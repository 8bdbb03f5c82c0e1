#include "control/client.h"

#include <fmt/format.h>
#include <string.h>

namespace usk {

OrFailure<ControlClient> ControlClient::open(const std::string& wanted) {
  SandboxEntry entry = TRY(find_sandbox(wanted));
  UniqueFd socket = TRY(connect_sandbox(entry));
  return ControlClient(std::move(entry), std::move(socket));
}

OrFailure<void> ControlClient::send(const Json& request, std::vector<int> fds) {
  if (to_text(request).size() > kMaxRequest) return fail("the command is too long", 126);
  stream_.put(request, std::move(fds));
  auto r = stream_.write_out();
  if (failed_with(r, EPIPE) || failed_with(r, ECONNRESET)) {
    return fail(fmt::format("sandbox {} has ended", entry_.id), kUnknownEnd);
  }
  if (!r) return fail(fmt::format("sandbox {}: {}", entry_.id, strerror(int(r.error()))));
  return {};
}

OrFailure<void> ControlClient::read() {
  auto r = stream_.read_in();
  if (failed_with(r, EPIPE) || failed_with(r, ECONNRESET)) {
    return fail(fmt::format("sandbox {} ended without saying how", entry_.id), kUnknownEnd);
  }
  if (!r) return fail(fmt::format("sandbox {}: {}", entry_.id, strerror(int(r.error()))));
  return {};
}

OrFailure<std::optional<Json>> ControlClient::received() {
  auto json = stream_.next();
  if (!json) return fail(fmt::format("sandbox {} does not speak this protocol", entry_.id));
  if (*json && (*json)->contains("error")) {
    return fail(printable(text_of(**json, "error")), int(number_of(**json, "code", 125)));
  }
  return std::move(*json);
}

OrFailure<Json> ControlClient::receive() {
  for (;;) {
    std::optional<Json> json = TRY(received());
    if (json) return std::move(*json);
    TRY(read());
  }
}

OrFailure<Json> ControlClient::call(const Json& request) {
  TRY(send(request));
  return receive();
}

std::string printable(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); i++) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool c1 = c == 0xc2 && next >= 0x80 && next < 0xa0;  // U+0080 to U+009F
    out += c < 32 || c == 127 || c1 ? '?' : char(c);
    i += c1;
  }
  return out;
}

}  // namespace usk
