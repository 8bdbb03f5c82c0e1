#include "state/document.h"

#include <fmt/format.h>

#include "state/cbor.h"
#include "state/writer.h"

namespace usk::state {
namespace {

using nlohmann::json;

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}
  bool parse(Document& to) {
    uint64_t tag, items, version;
    std::string_view magic, build;
    if (!in_.tag(tag) || !in_.array(items) || !in_.string(magic)) return false;
    if (tag != kSelfDescribed || items != 6 || magic != kMagic) return in_.fail("no saved state");
    if (!in_.number(version)) return false;
    if (version != kFormatVersion) return in_.fail("a version that is not known");
    if (!in_.string(build)) return false;
    to.build = build;
    return classes(to) && roots(to) && objects(to) && (in_.at_end() || in_.fail("more follows"));
  }
  const char* error() const { return in_.error() ? in_.error() : "it cannot be read"; }

 private:
  bool classes(Document& to) {
    uint64_t count, two, fields;
    std::string_view text;
    if (!in_.array(count)) return false;
    for (uint64_t i = 0; i < count; i++) {
      auto& c = to.classes.emplace_back();
      if (!in_.array(two) || two != 2 || !in_.string(text) || !in_.array(fields)) return false;
      c.name = text;
      for (uint64_t f = 0; f < fields; f++) {
        if (!in_.string(text)) return false;
        c.fields.emplace_back(text);
      }
    }
    return true;
  }

  bool roots(Document& to) {
    uint64_t count;
    std::string_view name;
    if (!in_.map(count)) return false;
    for (uint64_t i = 0; i < count; i++) {
      if (!in_.string(name)) return false;
      if (!value(to.roots.emplace_back(name, json()).second, 0)) return false;
    }
    return true;
  }

  bool objects(Document& to) {
    uint64_t count;
    if (!in_.array(count)) return false;
    for (uint64_t i = 0; i < count; i++) {
      auto& o = to.objects.emplace_back();
      const char* begin = in_.position();
      uint64_t size, number;
      if (!in_.array(size) || size == 0 || !in_.number(number)) return false;
      if (number >= to.classes.size() || to.classes[number].fields.size() != size - 1) {
        return in_.fail("an object of no class");
      }
      o.class_number = number;
      for (uint64_t v = 1; v < size; v++) {
        if (!value(o.values.emplace_back(), 0)) return false;
      }
      o.bytes = size_t(in_.position() - begin);
    }
    return true;
  }

  bool value(json& to, size_t depth) {
    if (depth >= kMaxNesting) return in_.fail("too many levels");
    if (in_.next_is(Major::kUnsigned)) {
      uint64_t n = 0;
      const bool good = in_.number(n);
      to = n;
      return good;
    }
    if (in_.next_is(Major::kNegative)) {
      int64_t n = 0;
      const bool good = in_.number(n);
      to = n;
      return good;
    }
    if (in_.next_is(Major::kText) || in_.next_is(Major::kBytes)) return text(to);
    if (in_.next_is(Major::kArray)) return array(to, depth);
    if (in_.next_is(Major::kMap)) return map(to, depth);
    return simple(to);
  }

  bool text(json& to) {
    const bool is_text = in_.next_is(Major::kText);
    std::string_view bytes;
    if (!in_.string(bytes)) return false;
    if (is_text) {
      to = bytes;
    } else {
      to = json::binary(std::vector<uint8_t>(bytes.begin(), bytes.end()));
    }
    return true;
  }

  bool array(json& to, size_t depth) {
    uint64_t count;
    if (!in_.array(count)) return false;
    to = json::array();
    for (uint64_t i = 0; i < count; i++) {
      if (!value(to.emplace_back(), depth + 1)) return false;
    }
    return true;
  }

  // Keys need not be text.
  bool map(json& to, size_t depth) {
    uint64_t count;
    if (!in_.map(count)) return false;
    to = json::array();
    for (uint64_t i = 0; i < count; i++) {
      json pair = json::array({nullptr, nullptr});
      if (!value(pair[0], depth + 1) || !value(pair[1], depth + 1)) return false;
      to.push_back(std::move(pair));
    }
    return true;
  }

  bool simple(json& to) {
    if (in_.skip_null()) return true;
    if (in_.left() > 0 && uint8_t(*in_.position()) == 0xfb) {
      double real = 0;
      const bool good = in_.real(real);
      to = real;
      return good;
    }
    bool truth = false;
    const bool good = in_.boolean(truth);
    to = truth;
    return good;
  }

  CborReader in_;
};

std::string hexadecimal(const json::binary_t& bytes) {
  constexpr size_t kMost = 64;
  std::string out = "0x";
  for (size_t i = 0; i < std::min(bytes.size(), kMost); i++) out += fmt::format("{:02x}", bytes[i]);
  if (bytes.size() > kMost) out += fmt::format("... ({} bytes)", bytes.size());
  return out;
}

}  // namespace

OrFailure<Document> Document::parse(std::string_view text) {
  Document document;
  Parser parser(text);
  if (!parser.parse(document)) return fail(parser.error());
  return document;
}

const json* Document::root(std::string_view name) const {
  for (const auto& [key, value] : roots) {
    if (key == name) return &value;
  }
  return nullptr;
}

json shown(const json& value) {
  if (value.is_binary()) return hexadecimal(value.get_binary());
  if (!value.is_array()) return value;
  json out = json::array();
  for (const json& element : value) out.push_back(shown(element));
  return out;
}

}  // namespace usk::state
