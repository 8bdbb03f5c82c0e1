#include "policy/matcher.h"

#include <algorithm>
#include <string>
#include <unordered_set>

#include "base/check.h"

namespace usk::policy {

using Token = GlobToken;

Matcher::Matcher(std::vector<Pattern> patterns, size_t max_bytes)
    : patterns_(std::move(patterns)), max_bytes_(max_bytes) {
  for (uint32_t p = 0; p < patterns_.size(); p++) {
    first_.push_back(uint32_t(positions_.size()));
    const auto tokens = uint32_t(patterns_[p].glob.tokens.size());
    for (uint32_t t = 0; t <= tokens; t++) positions_.push_back({p, t});
  }
  number_bytes();
  reset();
}

// Two bytes are of one class when every token wants both or neither: each set that some token wants
// splits the classes that there are.
void Matcher::number_bytes() {
  classes_ = 1;
  const auto split = [&](const std::bitset<256>& set) {
    std::array<int, 256> inside;  // The new class of what is in the set, of each old one.
    inside.fill(-1);
    std::bitset<256> outside;
    for (size_t b = 0; b < 256; b++) {
      if (!set[b]) outside.set(class_of_[b]);
    }
    for (size_t b = 0; b < 256; b++) {
      const uint8_t old = class_of_[b];
      if (!set[b] || !outside[old]) continue;
      if (inside[old] < 0) inside[old] = int(classes_++);
      class_of_[b] = uint8_t(inside[old]);
    }
  };
  std::bitset<256> literals;
  literals.set('/');
  std::unordered_set<std::bitset<256>> sets;
  for (const Pattern& p : patterns_) {
    for (const Token& t : p.glob.tokens) {
      if (t.kind == Token::Kind::kByte) literals.set(t.byte);
    }
    sets.insert(p.glob.sets.begin(), p.glob.sets.end());
  }
  for (const auto& set : sets) split(set);
  for (size_t b = 0; b < 256; b++) {
    if (literals[b]) split(std::bitset<256>().set(b));
  }
}

void Matcher::reset() {
  states_.clear();
  next_.clear();
  verdicts_.assign(1, Verdict());
  verdict_numbers_.clear();
  known_.clear();
  bytes_ = 0;
  const State dead = intern({});
  CHECK(dead == kDead);
  Positions begin;
  for (uint32_t first : first_) add(begin, first);
  std::ranges::sort(begin);
  start_ = intern(std::move(begin));
}

size_t Matcher::HashPositions::operator()(const Positions& p) const {
  size_t h = p.size();
  for (uint32_t x : p) h = (h ^ x) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

// With all that is reached without a byte.
void Matcher::add(Positions& out, uint32_t position) const {
  const Position& at = positions_[position];
  const Glob& glob = patterns_[at.pattern].glob;
  out.push_back(position);
  for (uint32_t t = at.token; t < glob.tokens.size(); t++) {
    const Token::Kind kind = glob.tokens[t].kind;
    if (kind != Token::Kind::kStar && kind != Token::Kind::kGlobStar) return;
    if (glob.elidable(t)) add(out, position + (t - at.token) + 2);
    out.push_back(position + (t - at.token) + 1);
  }
}

uint32_t Matcher::judge(const Positions& positions) {
  Verdict v;
  for (uint32_t p : positions) {
    const Position& at = positions_[p];
    const Pattern& pattern = patterns_[at.pattern];
    const size_t end = pattern.glob.tokens.size();
    if (at.token != end && !(pattern.glob.also_itself && at.token + 2 == end)) continue;
    for (size_t c = 0; c < kCategoryCount; c++) {
      if (pattern.categories[c]) v.rule[c] = std::max(v.rule[c], pattern.rule);
    }
  }
  const auto [it, fresh] = verdict_numbers_.try_emplace(v.rule, uint32_t(verdicts_.size()));
  if (fresh) {
    verdicts_.push_back(v);
    bytes_ += 3 * sizeof(Verdict);
  }
  return it->second;
}

bool Matcher::is_final(const Positions& positions) const {
  for (uint32_t p : positions) {
    const Position& at = positions_[p];
    const Glob& glob = patterns_[at.pattern].glob;
    if (at.token == glob.tokens.size()) {
      if (at.token == 0 || glob.tokens[at.token - 1].kind != Token::Kind::kGlobStar) return false;
      if (!std::ranges::binary_search(positions, p - 1)) return false;
    } else if (at.token + 1 != glob.tokens.size() ||
               glob.tokens[at.token].kind != Token::Kind::kGlobStar) {
      return false;
    }
  }
  return true;
}

Matcher::State Matcher::intern(Positions positions) {
  if (const auto it = known_.find(positions); it != known_.end()) return it->second;
  const auto number = State(states_.size());
  StateData data;
  data.verdict = judge(positions);
  data.is_final = is_final(positions);
  bytes_ +=
      2 * positions.size() * sizeof(uint32_t) + classes_ * sizeof(State) + sizeof(StateData) + 64;
  known_.emplace(positions, number);
  data.positions = std::move(positions);
  states_.push_back(std::move(data));
  next_.resize(next_.size() + classes_, kUnknown);
  return number;
}

Matcher::State Matcher::step(State from, uint8_t byte) {
  Positions out;
  for (uint32_t p : states_[from].positions) {
    const Position& at = positions_[p];
    const Glob& glob = patterns_[at.pattern].glob;
    if (at.token == glob.tokens.size()) continue;
    const Token& token = glob.tokens[at.token];
    switch (token.kind) {
      case Token::Kind::kByte:
        if (token.byte == byte) add(out, p + 1);
        break;
      case Token::Kind::kSet:
        if (glob.sets[token.set][byte]) add(out, p + 1);
        break;
      case Token::Kind::kStar:
        if (byte != '/') add(out, p);
        break;
      case Token::Kind::kGlobStar: add(out, p); break;
    }
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  if (bytes_ > max_bytes_) {
    reset();
    return intern(std::move(out));
  }
  const State to = intern(std::move(out));
  next_[from * classes_ + class_of_[byte]] = to;
  return to;
}

// Whether all that comes matches from here on, up to the end.
bool Matcher::is_tail(uint32_t position) const {
  const Position& at = positions_[position];
  const auto& tokens = patterns_[at.pattern].glob.tokens;
  if (tokens.empty() || tokens.back().kind != Token::Kind::kGlobStar) return false;
  return at.token + 1 >= tokens.size();
}

// Whether some pattern that may yet match stands between two rules.
bool Matcher::decides_between(const Positions& both, const Verdict& a, const Verdict& b,
                              size_t c) const {
  const auto [low, high] = std::minmax(a.rule[c], b.rule[c]);
  for (uint32_t p : both) {
    const Pattern& pattern = patterns_[positions_[p].pattern];
    if (pattern.categories[c] && pattern.rule > low && pattern.rule < high) return true;
  }
  return false;
}

Matcher::Below Matcher::compare_below(std::string_view from, std::string_view to,
                                      const CategorySet& of) {
  const auto look = [&](std::string_view dir, Positions& positions) {
    const State s = walk(std::string(dir) + "/");
    positions = states_[s].positions;
    return verdicts_[states_[s].verdict];
  };
  Positions a, b, both, differing;
  const Verdict in_a = look(from, a), in_b = look(to, b);
  if (a == b) return Below::kSame;
  std::ranges::set_intersection(a, b, std::back_inserter(both));
  std::ranges::set_symmetric_difference(a, b, std::back_inserter(differing));
  for (uint32_t p : differing) {
    const bool counts = (patterns_[positions_[p].pattern].categories & of).any();
    if (counts && !is_tail(p)) return Below::kDiffers;
  }
  for (size_t c = 0; c < kCategoryCount; c++) {
    if (of[c] && decides_between(both, in_a, in_b, c)) return Below::kDiffers;
  }
  return Below::kUniform;
}

const Verdict& Matcher::find(std::string_view text) {
  return verdicts_[states_[walk(text)].verdict];
}

Matcher::State Matcher::walk(std::string_view text) {
  State at = start_;
  for (const char c : text) {
    if (states_[at].is_final) break;  // The dead one, too.
    const auto byte = uint8_t(c);
    const State known = next_[at * classes_ + class_of_[byte]];
    at = known != kUnknown ? known : step(at, byte);
  }
  return at;
}

}  // namespace usk::policy
