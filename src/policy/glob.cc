#include "policy/glob.h"

#include <ctype.h>

#include <array>

namespace usk::policy {
namespace {

using Token = GlobToken;

struct NamedClass {
  std::string_view name;
  int (*has)(int);
};
constexpr std::array<NamedClass, 12> kClasses = {{{"alnum", isalnum},
                                                  {"alpha", isalpha},
                                                  {"blank", isblank},
                                                  {"cntrl", iscntrl},
                                                  {"digit", isdigit},
                                                  {"graph", isgraph},
                                                  {"lower", islower},
                                                  {"print", isprint},
                                                  {"punct", ispunct},
                                                  {"space", isspace},
                                                  {"upper", isupper},
                                                  {"xdigit", isxdigit}}};

class GlobParser {
 public:
  explicit GlobParser(std::string_view text) : text_(text) {}

  Parsed<Glob> run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '*') {
        stars();
      } else if (c == '?') {
        at_++;
        add_set(std::bitset<256>().set());
      } else if (c == '[') {
        if (auto ok = bracket(); !ok) return std::unexpected(ok.error());
      } else {
        if (c == '\\' && ++at_ == text_.size()) {
          return std::unexpected("the pattern ends with a backslash");
        }
        glob_.tokens.push_back({Token::Kind::kByte, uint8_t(text_[at_++])});
      }
    }
    return std::move(glob_);
  }

 private:
  void stars() {
    const size_t begin = at_;
    while (at_ < text_.size() && text_[at_] == '*') at_++;
    const size_t n = at_ - begin;
    glob_.tokens.push_back({n == 1 ? Token::Kind::kStar : Token::Kind::kGlobStar});
    // The root has nothing before its slash that could match.
    const bool last = at_ == text_.size() && begin > 1 && text_[begin - 1] == '/';
    glob_.also_itself = n == 3 && last && !(begin > 2 && text_[begin - 2] == '\\');
  }

  void add_set(std::bitset<256> set) {
    set.reset('/');
    glob_.tokens.push_back({Token::Kind::kSet, 0, uint16_t(glob_.sets.size())});
    glob_.sets.push_back(set);
  }

  bool more() const { return at_ < text_.size(); }

  // "[:digit:]" at the place; false: something else stands there.
  Parsed<bool> named_class(std::bitset<256>& set) {
    if (!text_.substr(at_).starts_with("[:")) return false;
    const size_t end = text_.find(":]", at_ + 2);
    if (end == text_.npos) return false;
    const std::string_view name = text_.substr(at_ + 2, end - at_ - 2);
    for (const NamedClass& c : kClasses) {
      if (c.name != name) continue;
      for (int b = 0; b < 128; b++) set[size_t(b)] = set[size_t(b)] || c.has(b);
      at_ = end + 2;
      return true;
    }
    return std::unexpected("'[:" + std::string(name) + ":]' is no class of bytes");
  }

  Parsed<uint8_t> member() {
    if (text_[at_] == '\\') at_++;
    if (!more()) return std::unexpected("a '[' without ']'");
    return uint8_t(text_[at_++]);
  }

  Parsed<> bracket() {
    at_++;
    std::bitset<256> set;
    const bool negated = more() && (text_[at_] == '!' || text_[at_] == '^');
    if (negated) at_++;
    for (bool first = true;; first = false) {
      if (!more()) return std::unexpected("a '[' without ']'");
      if (text_[at_] == ']' && !first) break;
      const auto named = named_class(set);
      if (!named) return std::unexpected(named.error());
      if (*named) continue;
      const auto low = member();
      if (!low) return std::unexpected(low.error());
      uint8_t high = *low;
      if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        at_++;
        const auto end = member();
        if (!end) return std::unexpected(end.error());
        high = *end;
        if (high < *low) return std::unexpected("a range of bytes that runs backwards");
      }
      for (unsigned b = *low; b <= high; b++) set.set(b);
    }
    at_++;
    add_set(negated ? ~set : set);
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  Glob glob_;
};

bool is_slash(const Token& t) { return t.kind == Token::Kind::kByte && t.byte == '/'; }

}  // namespace

bool Glob::elidable(size_t at) const {
  return tokens[at].kind == Token::Kind::kGlobStar && at > 0 && is_slash(tokens[at - 1]) &&
         at + 1 < tokens.size() && is_slash(tokens[at + 1]);
}

bool Glob::is_literal() const {
  for (const Token& t : tokens) {
    if (t.kind != Token::Kind::kByte) return false;
  }
  return true;
}

std::string Glob::literal_prefix() const {
  std::string out;
  for (const Token& t : tokens) {
    if (t.kind != Token::Kind::kByte) break;
    out += char(t.byte);
  }
  if (also_itself && out.size() + 1 == tokens.size()) out.pop_back();
  return out;
}

Parsed<Glob> parse_glob(std::string_view pattern) {
  if (pattern.empty()) return std::unexpected("the pattern is empty");
  if (pattern.size() > kMaxPattern) return std::unexpected("the pattern is too long");
  return GlobParser(pattern).run();
}

// Which tokens a match may have reached: all of them at once, one byte after the other.
bool matches(const Glob& glob, std::string_view text) {
  const size_t n = glob.tokens.size();
  std::vector<bool> now(n + 1), next(n + 1);
  now[0] = true;
  for (size_t i = 0;; i++) {
    for (size_t t = 0; t < n; t++) {
      if (!now[t]) continue;
      const Token::Kind kind = glob.tokens[t].kind;
      if (kind == Token::Kind::kStar || kind == Token::Kind::kGlobStar) now[t + 1] = true;
      if (glob.elidable(t)) now[t + 2] = true;
    }
    if (i == text.size()) return now[n] || (glob.also_itself && now[n - 2]);
    const auto byte = uint8_t(text[i]);
    next.assign(n + 1, false);
    for (size_t t = 0; t < n; t++) {
      if (!now[t]) continue;
      const Token& token = glob.tokens[t];
      switch (token.kind) {
        case Token::Kind::kByte:
          if (token.byte == byte) next[t + 1] = true;
          break;
        case Token::Kind::kSet:
          if (glob.sets[token.set][byte]) next[t + 1] = true;
          break;
        case Token::Kind::kStar:
          if (byte != '/') next[t] = true;
          break;
        case Token::Kind::kGlobStar: next[t] = true; break;
      }
    }
    now.swap(next);
  }
}

std::string escape_glob(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace usk::policy
