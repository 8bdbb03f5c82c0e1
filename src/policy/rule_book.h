// A policy made ready for questions.
#pragma once
#include <array>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

#include "policy/matcher.h"
#include "policy/policy.h"

namespace usk::policy {

enum class FileKind : uint8_t {
  kRegular,
  kDirectory,
  kSymlink,
  kFifo,
  kSocket,
  kBlock,
  kCharacter
};

// Answers for one state of a policy, which must outlive it and not change. It costs one step of an
// automaton for each byte of a path, whatever the number of rules. Not for several threads.
class RuleBook {
 public:
  explicit RuleBook(const Policy& policy);

  // For a category that is on. `name` is an absolute path without links, a socket's name, or the
  // name of what a descriptor stands for. What lock/ says of the same comes on top.
  Decision by_name(Category c, std::string_view name);
  Decision by_address(Category c, const InetAddress& address);
  // A request that some rule denies is denied, whatever comes after it.
  Decision by_request(uint32_t request) const;
  Decision by_family(uint32_t family) const;
  Decision by_file_system(std::string_view type) const;
  // Whether the object at `from` may be at `to` without its new name allowing what the old one did
  // not; a directory with all that it holds.
  bool may_move(std::string_view from, std::string_view to, bool is_directory);
  // Whether lock/ has nothing against it: of a category that starts with lock/.
  bool lock_allows(Category lock, std::string_view name);
  // What lock/ has against a name that comes for what is at `from`. Nothing: it may come.
  struct Move {
    FileKind kind;                     // Of the object.
    bool leaves = true;                // The old name goes away: not with link(2).
    std::optional<FileKind> replaces;  // What stands at the new name.
  };
  std::optional<Category> lock_against_move(std::string_view from, std::string_view to,
                                            const Move& move);
  // The rule of mask or append for a path, or null.
  const Rule* mark(Category c, std::string_view path);

  const Policy& policy() const { return policy_; }

 private:
  Decision decide(Category c, int32_t rule) const;
  bool blocks(const InetAddress& address);
  Decision by_rules(Category c, const InetAddress& address) const;
  template <class Matches>
  Decision last(Category c, Matches matches) const;

  const Policy& policy_;
  Matcher matcher_;
  std::vector<const Rule*> inet_;                // Those with addresses, in order.
  std::vector<const Rule*> by_list_;             // Those with numbers or names.
  std::array<std::set<uint8_t>, 2> block_bits_;  // Lengths of blocked networks, of IPv4 and IPv6.
  Rule block_;                                   // The line that blocked last.
  bool lock_on_;
};

// The category of lock/ that stands beside one, or nothing.
std::optional<Category> lock_category(Category c);

}  // namespace usk::policy
