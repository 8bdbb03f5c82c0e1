// A rule as somebody wrote it, and what it decides.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "policy/action.h"
#include "policy/address.h"
#include "policy/category.h"

namespace usk::policy {

// Where a line stands: "web.syd-3:12", "--policy-rule", "/dev/syd".
struct Source {
  std::string file;
  int line = 0;  // 0: it has none.
  std::string text() const { return line ? file + ":" + std::to_string(line) : file; }
};

struct Rule {
  CategorySet categories;
  Action action = Action::kDeny;
  std::string pattern;
  Source source;
  std::string text;  // The line, with its variables expanded.

  bool is_glob = false;                   // The pattern is for paths and names.
  InetPattern inet = {};                  // Else, with ports: for IPv4 and IPv6.
  std::vector<uint32_t> numbers = {};     // ioctl requests, netlink families.
  std::vector<std::string> names = {};    // Types of file systems.
  std::string file = {}, directory = {};  // What a mask shows instead.
};

// force+PATH:ALGORITHM:HEX:ACTION
struct Checksum {
  std::string algorithm, hex;
  Action action = Action::kDeny;
  Source source;
  std::string text;
};

// What a policy says of a call, and why.
struct Decision {
  Action action = Action::kAllow;
  const Rule* rule = nullptr;  // Null: the category's default.
};

}  // namespace usk::policy
