// Rule files, profiles and single rules: syd(5).
#pragma once
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.h"

namespace usk::policy {

// What a rule file comes from: the host's files and variables, or those of a test.
struct Surroundings {
  // The text of a file; why it cannot be had, or must not be trusted.
  std::function<Parsed<std::string>(const std::string& path)> read;
  // The value of a variable; nothing where it has none.
  std::function<std::optional<std::string>(const std::string& name)> variable;
  // What names of hosts in rules mean.
  std::vector<HostName> hosts = {};
};

// Puts a policy together. Errors read "FILE:LINE: what is wrong".
class RuleReader {
 public:
  static constexpr int kMaxDepth = 16;  // Of includes.
  static constexpr int kMaxFiles = 1000;
  static constexpr size_t kMaxText = 16 << 20;  // Of a file.

  RuleReader(Policy& policy, Surroundings surroundings)
      : policy_(policy), around_(std::move(surroundings)) {
    policy_.set_hosts(around_.hosts);
  }

  // A file, or a profile where `name` is one's and has no slash, or several by their letters.
  Parsed<> load(const std::string& name);
  Parsed<> file(const std::string& path);
  Parsed<> profile(std::string_view name);
  // One rule, as of the command line.
  Parsed<> rule(std::string_view text, const std::string& from);
  // Lines of a text that came from elsewhere.
  Parsed<> text(std::string_view text, const std::string& from);

 private:
  Parsed<> line(std::string_view text, const Source& source);
  Parsed<> include(const std::string& what, const Source& source);
  Parsed<> networks(const std::string& path);
  Parsed<std::string> expand(std::string_view text) const;
  Parsed<std::string> from_here(const Command& command, std::string_view text) const;
  static bool is_letters(std::string_view name);

  Policy& policy_;
  Surroundings around_;
  std::vector<std::string> open_;  // Files that are being read, outermost first.
  int depth_ = 0, files_ = 0;
};

// The rules of a built-in profile; nothing where there is none of that name. Short names count.
std::optional<std::string_view> profile_text(std::string_view name);
struct ProfileInfo {
  std::string_view name, short_name, summary;
};
std::vector<ProfileInfo> profiles();

}  // namespace usk::policy
