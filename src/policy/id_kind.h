// Which of a task's ids a rule is about.
#pragma once
#include <cstdint>

namespace usk::policy {

enum class IdKind : uint8_t { kUser, kGroup };

}  // namespace usk::policy
