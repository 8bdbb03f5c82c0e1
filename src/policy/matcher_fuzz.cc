// Any patterns and any path: the matcher of many finds what the plain way finds.
#include "base/check.h"
#include "policy/matcher_testing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace usk::policy;
  // Lines: patterns, and last the text.
  std::string_view input(reinterpret_cast<const char*>(data), std::min<size_t>(size, 600));
  std::vector<Pattern> patterns;
  while (true) {
    const size_t end = input.find('\n');
    if (end == input.npos) break;
    if (auto glob = parse_glob(input.substr(0, end))) {
      const auto n = int32_t(patterns.size());
      patterns.push_back({*std::move(glob), CategorySet(1 + unsigned(n) % 3), n});
    }
    input.remove_prefix(end + 1);
  }
  Matcher matcher(patterns, 1 << 16);
  for (size_t length = 0; length <= input.size(); length += 1 + input.size() / 4) {
    const std::string_view text = input.substr(0, length);
    CHECK(matcher.find(text).rule == testing::plain_verdict(patterns, text).rule);
  }
  return 0;
}
