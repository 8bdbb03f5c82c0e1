// ioctl(2) requests by name, and other names that stand for numbers in rules.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policy/category.h"

namespace usk::policy {

// "TIOCSTI,FIO*,0x5401": the requests that are meant. A name with '!' at its end may be unknown.
Parsed<std::vector<uint32_t>> parse_requests(std::string_view text);
// "TIOCSTI", or "0x5412" where it has no name here.
std::string request_name(uint32_t request);
// What is allowed and what is denied without any rule (syd(2), allow/ioctl and deny/ioctl).
std::string_view requests_allowed_at_first();
std::string_view requests_denied_at_first();

// "route,generic", "all": netlink(7) families.
std::string family_name(uint32_t family);
Parsed<std::vector<uint32_t>> parse_families(std::string_view text);

}  // namespace usk::policy
