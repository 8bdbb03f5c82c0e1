// Many patterns at once: which is the last rule of each category that matches a text.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "policy/category.h"
#include "policy/glob.h"

namespace usk::policy {

// A pattern, what it is for, and the number of its rule.
struct Pattern {
  Glob glob;
  CategorySet categories;
  int32_t rule;
};

// The rule that decides, per category; kNone where none matches.
struct Verdict {
  static constexpr int32_t kNone = -1;
  std::array<int32_t, kCategoryCount> rule;
  Verdict() { rule.fill(kNone); }
  int32_t operator[](Category c) const { return rule[index(c)]; }
};

// A deterministic automaton of all patterns, of which the states are made when a text first leads
// to them: one look at a table for each byte, however many patterns there are. Texts are the
// guest's, so what states may take is bounded; beyond it all are forgotten and made anew.
// Not for several threads at once.
class Matcher {
 public:
  static constexpr size_t kMaxBytes = 16 << 20;

  explicit Matcher(std::vector<Pattern> patterns, size_t max_bytes = kMaxBytes);
  // Valid until the next call.
  const Verdict& find(std::string_view text);

  // What differs between all that is below one directory and the same below another, for the
  // categories of `of`: nothing; the same rule for everything, which find(DIRECTORY + "/") gives;
  // or it cannot be said without looking at the names there.
  enum class Below { kSame, kUniform, kDiffers };
  Below compare_below(std::string_view from, std::string_view to, const CategorySet& of);

  size_t state_count() const { return states_.size(); }

 private:
  using State = uint32_t;
  using Positions = std::vector<uint32_t>;  // Tokens that may come next, sorted.
  static constexpr State kUnknown = UINT32_MAX;
  static constexpr State kDead = 0;

  struct Position {
    uint32_t pattern;
    uint32_t token;  // The number of tokens: at its end.
  };
  struct StateData {
    Positions positions;
    uint32_t verdict = 0;
    bool is_final = false;  // Every byte leads back to it.
  };
  struct HashPositions {
    size_t operator()(const Positions& p) const;
  };

  void number_bytes();
  void reset();
  State intern(Positions positions);
  uint32_t judge(const Positions& positions);
  bool is_final(const Positions& positions) const;
  State walk(std::string_view text);
  bool is_tail(uint32_t position) const;
  bool decides_between(const Positions& both, const Verdict& a, const Verdict& b, size_t c) const;
  State step(State from, uint8_t byte);
  void add(Positions& out, uint32_t position) const;

  const std::vector<Pattern> patterns_;
  const size_t max_bytes_;
  std::vector<Position> positions_;      // By number.
  std::vector<uint32_t> first_;          // Of each pattern, its first position.
  std::array<uint8_t, 256> class_of_{};  // Bytes that no pattern tells apart are one class.
  size_t classes_ = 0;

  std::vector<StateData> states_;
  std::vector<State> next_;  // states_ times classes_.
  std::vector<Verdict> verdicts_;
  std::map<std::array<int32_t, kCategoryCount>, uint32_t> verdict_numbers_;
  std::unordered_map<Positions, State, HashPositions> known_;
  size_t bytes_ = 0;
  State start_ = kDead;
};

}  // namespace usk::policy
