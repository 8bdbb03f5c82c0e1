#include "state/image/manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "base/result.h"
#include "state/image/checksum.h"

namespace usk::state {
namespace {

using nlohmann::json;

constexpr const char* kWhat = "usk checkpoint";
// 1: every part is as it is, and whole.
constexpr uint64_t kVersion = 2;
constexpr const char* kZstd = "zstd";

std::unexpected<Failure> bad(std::string_view what) {
  return fail(fmt::format("image manifest: {}", what));
}

// The value of `key` as `to`; false: it is missing or of another kind.
bool read(const json& from, const char* key, std::string& to) {
  const auto it = from.find(key);
  if (it == from.end() || !it->is_string()) return false;
  to = it->get_ref<const std::string&>();
  return true;
}
bool read(const json& from, const char* key, uint64_t& to) {
  const auto it = from.find(key);
  if (it == from.end() || !it->is_number_unsigned()) return false;
  to = it->get<uint64_t>();
  return true;
}
bool read(const json& from, const char* key, int64_t& to) {
  const auto it = from.find(key);
  if (it == from.end() || !it->is_number_integer()) return false;
  if (it->is_number_unsigned() && it->get<uint64_t>() > uint64_t(INT64_MAX)) return false;
  to = it->get<int64_t>();
  return true;
}
bool read(const json& from, const char* key, std::vector<std::string>& to) {
  const auto it = from.find(key);
  if (it == from.end() || !it->is_array()) return false;
  for (const json& element : *it) {
    if (!element.is_string()) return false;
    to.push_back(element.get_ref<const std::string&>());
  }
  return true;
}

bool read_checksum(const json& from, uint64_t& to) {
  std::string text;
  if (!read(from, "checksum", text) || !text.starts_with("xxh3:") || text.size() != 21)
    return false;
  const auto [end, error] = std::from_chars(text.data() + 5, text.data() + 21, to, 16);
  return error == std::errc() && end == text.data() + 21;
}

// How the part is kept.
OrFailure<void> read_form(const json& from, Part& part) {
  part.plain_size = part.size;
  std::string encoding;
  if (read(from, "encoding", encoding)) {
    if (encoding != kZstd) return bad(fmt::format("encoding {} is not known", encoding));
    part.compressed = true;
    if (!read(from, "plain_size", part.plain_size)) return bad("a compressed part of no size");
  }
  if (read(from, "map", part.map) && !is_part_name(part.map)) {
    return bad("a part of a name that cannot be");
  }
  return {};
}

OrFailure<void> read_base(const json& from, std::optional<Base>& to) {
  const auto it = from.find("base");
  if (it == from.end()) return {};
  to.emplace();
  if (!it->is_object() || !read(*it, "path", to->path) || !read(*it, "checksum", to->checksum) ||
      to->path.empty() || to->path.find('\0') != std::string::npos) {
    return bad("a base is its path and its checksum");
  }
  return {};
}

OrFailure<void> read_parts(const json& from, std::vector<Part>& to) {
  const auto it = from.find("parts");
  if (it == from.end() || !it->is_array() || it->size() > kMaxParts) return bad("no list of parts");
  std::set<std::string_view> names;
  to.reserve(it->size());
  for (const json& element : *it) {
    Part& part = to.emplace_back();
    if (!element.is_object() || !read(element, "name", part.name) ||
        !read(element, "size", part.size) || !read_checksum(element, part.checksum)) {
      return bad("a part is its name, its size and its checksum");
    }
    if (!is_part_name(part.name)) return bad("a part of a name that cannot be");
    TRY(read_form(element, part));
    if (!names.insert(part.name).second) return bad(part.name + " comes twice");
  }
  return {};
}

// What guests call text need not be UTF-8.
std::string dump(const json& manifest, int indent = -1) {
  return manifest.dump(indent, ' ', false, json::error_handler_t::replace);
}

// Whether readers of version 1 understand it.
bool is_plain(const Manifest& m) {
  return !m.base && std::ranges::none_of(
                        m.parts, [](const Part& p) { return p.compressed || !p.map.empty(); });
}

std::string checksum_of(const json& manifest) {
  return Checksum::text(Checksum::of(dump(manifest)));
}

}  // namespace

bool is_part_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name[0] != '.' && name != "manifest" &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

std::string Manifest::to_text() const {
  json all = {{"what", kWhat},
              {"version", is_plain(*this) ? 1 : kVersion},
              {"build", build},
              {"platform", platform},
              {"cpu_features", cpu_features},
              {"monotonic_ns", monotonic_ns},
              {"realtime_ns", realtime_ns},
              {"generation", generation},
              {"facts", facts},
              {"parts", json::array()}};
  for (const Part& part : parts) {
    json& p = all["parts"].emplace_back();
    p = {{"name", part.name}, {"size", part.size}, {"checksum", Checksum::text(part.checksum)}};
    if (part.compressed) p.update({{"encoding", kZstd}, {"plain_size", part.plain_size}});
    if (!part.map.empty()) p["map"] = part.map;
  }
  if (base) all["base"] = {{"path", base->path}, {"checksum", base->checksum}};
  all["checksum"] = checksum_of(all);
  return dump(all, 2) + "\n";
}

OrFailure<Manifest> Manifest::parse(std::string_view text) {
  if (text.size() > kMaxManifest) return bad("too long");
  json all = json::parse(text, nullptr, false);
  std::string what, checksum;
  if (!all.is_object() || !read(all, "what", what) || what != kWhat) {
    return bad("not that of a checkpoint");
  }
  uint64_t version;
  if (!read(all, "version", version)) return bad("no version");
  if (version < 1 || version > kVersion)
    return bad(fmt::format("version {} is not known", version));
  if (!read(all, "checksum", checksum)) return bad("no checksum");
  all.erase("checksum");
  if (checksum != checksum_of(all)) return bad("wrong checksum");
  Manifest m;
  m.checksum = checksum;
  if (!read(all, "build", m.build) || !read(all, "platform", m.platform) ||
      !read(all, "cpu_features", m.cpu_features) || !read(all, "monotonic_ns", m.monotonic_ns) ||
      !read(all, "realtime_ns", m.realtime_ns) || !read(all, "generation", m.generation)) {
    return bad("a value is missing or of another kind");
  }
  if (const auto it = all.find("facts"); it != all.end()) m.facts = *it;
  TRY(read_base(all, m.base));
  TRY(read_parts(all, m.parts));
  return m;
}

const Part* Manifest::find(std::string_view name) const {
  const auto it = std::ranges::find(parts, name, &Part::name);
  return it == parts.end() ? nullptr : &*it;
}

}  // namespace usk::state
