// A policy in a checkpoint. Rules are saved as the lines that they came from, and what is left of
// each after later commands.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "policy/policy.h"

namespace usk::policy {
namespace {

using Json = nlohmann::ordered_json;

// Lines may hold any bytes, JSON only text: what is not ASCII is written as hexadecimal digits.
Json to_json(std::string_view text) {
  const bool plain = std::ranges::all_of(text, [](unsigned char c) { return c < 0x80; });
  if (plain) return text;
  std::string digits;
  for (const unsigned char c : text) {
    digits += "0123456789abcdef"[c >> 4];
    digits += "0123456789abcdef"[c & 15];
  }
  return {{"hex", digits}};
}

// A member, or null.
Json member(const Json& object, std::string_view name) {
  if (!object.is_object()) return {};
  const auto it = object.find(std::string(name));
  return it == object.end() ? Json() : *it;
}

std::string text_of(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  const Json hex = member(json, "hex");
  if (!hex.is_string()) return {};
  const auto digits = hex.get<std::string>();
  std::string out;
  for (size_t i = 0; i + 2 <= digits.size(); i += 2) {
    unsigned byte = 0;
    std::from_chars(&digits[i], &digits[i] + 2, byte, 16);
    out += char(byte);
  }
  return out;
}

template <class T>
T number(const Json& json) {
  return json.is_number_integer() ? json.get<T>() : T();
}

Json to_json(const Source& s) { return {{"file", to_json(s.file)}, {"line", s.line}}; }
Source source_of(const Json& json) {
  return {text_of(member(json, "file")), number<int>(member(json, "line"))};
}

Json to_json(const CategorySet& set) {
  Json names = Json::array();
  for (size_t i = 0; i < kCategoryCount; i++) {
    if (set[i]) names.push_back(name_of(Category(i)));
  }
  return names;
}
CategorySet categories_of(const Json& names) {
  CategorySet set;
  for (const Json& name : names) {
    for (size_t i = 0; i < kCategoryCount; i++) {
      if (name == name_of(Category(i))) set[i] = true;
    }
  }
  return set;
}

constexpr std::array kTransitionNames = {"setuid", "setgid"};  // By IdKind.

}  // namespace

std::string Policy::saved() const {
  Json out;
  out["lock"] = name_of(lock_);
  for (size_t i = 0; i < kCategoryCount; i++) {
    out["sandbox"][std::string(name_of(Category(i)))] = {{"on", on_[i]},
                                                         {"default", name_of(defaults_[i])}};
  }
  for (size_t i = 0; i < kOptionCount; i++) {
    out["options"][std::string(name_of(Option(i)))] = options_[i];
  }
  for (size_t i = 0; i < limits_.size(); i++) {
    out["limits"][std::string(name_of(command::SetLimit::Which(i)))] = limits_[i];
  }
  out["rules"] = Json::array();
  for (const Rule& r : rules_) {
    out["rules"].push_back({{"text", to_json(r.text)},
                            {"source", to_json(r.source)},
                            {"categories", to_json(r.categories)},
                            {"numbers", r.numbers}});
  }
  out["checksums"] = Json::array();
  for (const auto& [path, c] : checksums_) {
    out["checksums"].push_back({{"text", to_json(c.text)}, {"source", to_json(c.source)}});
  }
  out["blocked"] = Json::array();
  for (const auto& [network, source] : blocked_) {
    out["blocked"].push_back({{"network", network.text()}, {"source", to_json(source)}});
  }
  out["block_action"] = name_of(block_action_);
  out["hosts"] = Json::array();
  for (const HostName& h : hosts_) {
    out["hosts"].push_back({{"name", to_json(h.name)}, {"address", h.address.text()}});
  }
  for (size_t kind = 0; kind < transitions_.size(); kind++) {
    out[kTransitionNames[kind]] = Json::array();
    for (const auto& [from, to] : transitions_[kind]) {
      out[kTransitionNames[kind]].push_back(Json::array({from, to}));
    }
  }
  return out.dump();
}

Parsed<> Policy::add_saved_rule(std::string_view text, const Source& source,
                                const CategorySet& left, std::vector<uint32_t> numbers) {
  const size_t before = rules_.size();
  if (auto ok = apply(text, source); !ok) return ok;
  if (rules_.size() != before + 1) return std::unexpected("a line that is no rule");
  Rule& rule = rules_.back();
  rule.categories &= left;
  if (rule.categories.none()) return std::unexpected("a rule for nothing");
  if (!rule.numbers.empty()) rule.numbers = std::move(numbers);
  return {};
}

// Images from before there was more to say of a network have its text alone.
Parsed<> Policy::load_blocks(const nlohmann::ordered_json& all) {
  for (const Json& b : member(all, "blocked")) {
    const std::string network = text_of(b.is_string() ? b : member(b, "network"));
    if (auto ok = apply_block({ListOp::kAdd, network}, source_of(member(b, "source"))); !ok) {
      return ok;
    }
  }
  const Json action = member(all, "block_action");
  if (action.is_null()) return {};
  const auto parsed = parse_action(text_of(action));
  if (!parsed || *parsed == Action::kAllow) return std::unexpected("no action of block");
  block_action_ = *parsed;
  return {};
}

Parsed<> Policy::load_lists(const nlohmann::ordered_json& all) {
  for (const Json& h : member(all, "hosts")) {
    const auto address = parse_networks(text_of(member(h, "address")));
    if (!address || address->size() != 1) return std::unexpected("a host without an address");
    hosts_.push_back({text_of(member(h, "name")), address->front()});
  }
  for (const Json& r : member(all, "rules")) {
    std::vector<uint32_t> numbers;
    for (const Json& n : member(r, "numbers")) numbers.push_back(number<uint32_t>(n));
    const auto ok = add_saved_rule(text_of(member(r, "text")), source_of(member(r, "source")),
                                   categories_of(member(r, "categories")), std::move(numbers));
    if (!ok) return ok;
  }
  for (const Json& c : member(all, "checksums")) {
    const auto ok = apply(text_of(member(c, "text")), source_of(member(c, "source")));
    if (!ok) return ok;
  }
  if (auto ok = load_blocks(all); !ok) return ok;
  for (size_t kind = 0; kind < transitions_.size(); kind++) {
    for (const Json& t : member(all, kTransitionNames[kind])) {
      if (!t.is_array() || t.size() != 2) return std::unexpected("a transition of ids");
      transitions_[kind].emplace(number<uint32_t>(t[0]), number<uint32_t>(t[1]));
    }
  }
  return {};
}

Parsed<> Policy::load_settings(const nlohmann::ordered_json& all) {
  const Json sandbox = member(all, "sandbox"), options = member(all, "options"),
             limits = member(all, "limits");
  for (size_t i = 0; i < kCategoryCount; i++) {
    const Json c = member(sandbox, name_of(Category(i)));
    if (c.is_null() && Category(i) == Category::kSegvguard) continue;  // Newer than the image.
    const auto action = parse_action(text_of(member(c, "default")));
    if (!action) return std::unexpected("a category without an action");
    on_[i] = member(c, "on") == true;
    defaults_[i] = *action;
  }
  for (size_t i = 0; i < kOptionCount; i++) {
    const Json value = member(options, name_of(Option(i)));
    // Newer than the image: it did not restrict anybody then.
    options_[i] = value.is_null() ? !strict_value(Option(i)) : value == true;
  }
  for (size_t i = 0; i < limits_.size(); i++) {
    const Json limit = member(limits, name_of(command::SetLimit::Which(i)));
    if (!limit.is_number_integer()) return std::unexpected("a limit that is no number");
    limits_[i] = limit.get<uint64_t>();
  }
  const std::string lock = text_of(member(all, "lock"));
  for (auto s = LockState::kUnset; s <= LockState::kOn; s = LockState(uint8_t(s) + 1)) {
    if (name_of(s) == lock) return lock_ = s, Parsed<>();
  }
  return std::unexpected("a lock without a state");
}

Parsed<Policy> Policy::from_saved(std::string_view text) {
  const Json all = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!all.is_object()) return std::unexpected("a policy that is no JSON object");
  Policy p;
  p.rules_.clear();
  // Lines may have changed the settings, too.
  if (auto ok = p.load_lists(all); !ok) return std::unexpected(ok.error());
  if (auto ok = p.load_settings(all); !ok) return std::unexpected(ok.error());
  return p;
}

}  // namespace usk::policy
