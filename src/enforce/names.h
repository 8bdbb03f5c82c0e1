// What rules go by beside paths: which categories make names, which names are safe.
#pragma once
#include <array>
#include <string_view>

#include "policy/category.h"

namespace usk {

// Room for any name that is decided about; a longer one is refused (ENAMETOOLONG).
using NameBuffer = std::array<char, 8192>;

// Whether a call of this category makes a name, or makes or takes one away.
bool makes_names(policy::Category c);
bool changes_names(policy::Category c);

// syd(7), "Enhanced Path Integrity Measures": valid UTF-8 without control characters, without what
// shells obey, and without blanks or '-' or '~' where they mislead.
bool is_safe_name(std::string_view name);

// Whether a call is served in ghost mode: what a program needs to compute, to read and write what
// it has open, and to end.
bool serves_ghosts(std::string_view call);

}  // namespace usk
