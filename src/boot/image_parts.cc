// Features by the names that the compiler gives them.
#include "boot/image_parts.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>

#include "host/file_io.h"
#include "host/open.h"
#include "host/stream.h"

namespace usk {

std::vector<std::string> processor_features() {
  std::vector<std::string> features;
#define FEATURE(name) \
  if (__builtin_cpu_supports(name)) features.emplace_back(name);
#include "boot/processor_features.def"
#undef FEATURE
  std::ranges::sort(features);
  return features;
}

OrFailure<void> check_processor(const std::vector<std::string>& wanted) {
  const std::vector<std::string> here = processor_features();
  for (const std::string& feature : wanted) {
    if (std::ranges::binary_search(here, feature)) continue;
    return fail(fmt::format("this processor lacks {}, which the image was made with", feature));
  }
  return {};
}

OrFailure<UniqueFd> open_role(const std::string& role) {
  static constexpr std::string_view kRoles[] = {"stdin", "stdout", "stderr"};
  const auto known = std::ranges::find(kRoles, role);
  if (known != std::end(kRoles)) {
    const int fd = int(known - std::begin(kRoles));
    if (auto own = host::take_stream(fd)) return std::move(*own);
  }
  auto null = host::duplicate(host::null_device());
  if (!null) return fail(fmt::format("/dev/null: {}", strerror(int(null.error()))));
  return std::move(*null);
}

}  // namespace usk
