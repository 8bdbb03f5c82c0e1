#include <fmt/format.h>
#include <string.h>

#include <map>
#include <set>

#include "boot/checkpoint.h"
#include "cli/image_report.h"
#include "control/client.h"
#include "host/file.h"

namespace usk {
namespace {

using state::Document;

constexpr uint64_t kPage = 4096;

// Objects of one class, in their order.
using ByClass = std::map<std::string, std::vector<size_t>>;
ByClass by_class(const Document& d) {
  ByClass out;
  for (size_t i = 0; i < d.objects.size(); i++) out[d.class_of(d.objects[i])].push_back(i);
  return out;
}

// Compares values of two documents. A reference to the Nth object of a class is the same as one to
// the Nth in the other, whatever their numbers; a number that happens to look like that, too.
class Comparison {
 public:
  Comparison(const Document& a, const Document& b) : a_(a), b_(b) {
    number(a, in_a_);
    number(b, in_b_);
  }
  bool same(const Json& a, const Json& b) const {
    if (a == b) return true;
    if (a.is_number_unsigned() && b.is_number_unsigned()) {
      return same_object(a.get<uint64_t>(), b.get<uint64_t>());
    }
    if (!a.is_array() || !b.is_array() || a.size() != b.size()) return false;
    for (size_t i = 0; i < a.size(); i++) {
      if (!same(a[i], b[i])) return false;
    }
    return true;
  }

 private:
  using Places = std::vector<size_t>;  // Of each object among those of its class.
  static void number(const Document& d, Places& places) {
    for (const auto& [name, objects] : by_class(d)) {
      places.resize(d.objects.size());
      for (size_t i = 0; i < objects.size(); i++) places[objects[i]] = i;
    }
  }
  bool same_object(uint64_t a, uint64_t b) const {
    return a < in_a_.size() && b < in_b_.size() && in_a_[a] == in_b_[b] &&
           a_.class_of(a_.objects[a]) == b_.class_of(b_.objects[b]);
  }
  const Document &a_, &b_;
  Places in_a_, in_b_;
};

// By the fields' names: images of two builds may have others.
std::map<std::string, const Json*> fields_of(const Document& d, size_t object) {
  const Document::Object& o = d.objects[object];
  const auto& names = d.classes[o.class_number].fields;
  std::map<std::string, const Json*> out;
  for (size_t i = 0; i < names.size(); i++) out[names[i]] = &o.values[i];
  return out;
}

Json class_differences(const Document& a, const Document& b, const Comparison& compare) {
  ByClass in_a = by_class(a), in_b = by_class(b);
  std::set<std::string> names;
  for (const auto& [name, objects] : in_a) names.insert(name);
  for (const auto& [name, objects] : in_b) names.insert(name);
  Json out = Json::array();
  for (const std::string& name : names) {
    const auto &of_a = in_a[name], &of_b = in_b[name];
    std::map<std::string, uint64_t> differ;
    for (size_t i = 0; i < std::min(of_a.size(), of_b.size()); i++) {
      auto left = fields_of(a, of_a[i]), right = fields_of(b, of_b[i]);
      for (const auto& [field, value] : left) {
        const auto it = right.find(field);
        if (it == right.end() || !compare.same(*value, *it->second)) differ[field]++;
      }
      for (const auto& [field, value] : right) {
        if (!left.contains(field)) differ[field]++;
      }
    }
    if (differ.empty() && of_a.size() == of_b.size()) continue;
    out.push_back({{"class", name}, {"counts", {of_a.size(), of_b.size()}}, {"fields", differ}});
  }
  return out;
}

Json root_differences(const Document& a, const Document& b, const Comparison& compare) {
  Json out = Json::array();
  for (const auto& [name, value] : a.roots) {
    if (name == "memory") continue;  // Pages are compared.
    const Json* other = b.root(name);
    if (!other || !compare.same(value, *other)) out.push_back(name);
  }
  for (const auto& [name, value] : b.roots) {
    if (!a.root(name)) out.push_back(name);
  }
  return out;
}

Json part_differences(const state::Manifest& a, const state::Manifest& b) {
  Json out = Json::array();
  auto add = [&](const std::string& name) {
    const state::Part *left = a.find(name), *right = b.find(name);
    const bool equal =
        left && right && left->size == right->size && left->checksum == right->checksum;
    Json sizes = Json::array({Json(), Json()});
    if (left) sizes[0] = left->size;
    if (right) sizes[1] = right->size;
    out.push_back({{"part", name}, {"sizes", sizes}, {"equal", equal}});
  };
  for (const state::Part& part : a.parts) add(part.name);
  for (const state::Part& part : b.parts) {
    if (!a.find(part.name)) add(part.name);
  }
  return out;
}

Json manifest_differences(const state::Manifest& a, const state::Manifest& b) {
  Json left = *parse_object(a.to_text()), right = *parse_object(b.to_text());
  Json out = Json::object();
  for (const char* key : {"parts", "checksum"}) left.erase(key), right.erase(key);
  for (const auto& [key, value] : left.items()) {
    const auto it = right.find(key);
    const Json other = it == right.end() ? Json() : *it;
    if (value != other) out[key] = {value, other};
  }
  for (const auto& [key, value] : right.items()) {
    if (!left.contains(key)) out[key] = {Json(), value};
  }
  return out;
}

// Address of a page -> its place in the part.
OrFailure<std::map<uint64_t, uint64_t>> pages_of(const ImageMemory& m, uint64_t part_size) {
  std::map<uint64_t, uint64_t> pages;
  for (const ImageMemory::Run& run : m.runs) {
    if (run.at > part_size || run.length > part_size - run.at) {
      return fail(fmt::format("image part {}: pages beyond its end", kMemoryPart));
    }
    for (uint64_t i = 0; i + kPage <= run.length; i += kPage) {
      pages[run.address + i] = run.at + i;
    }
  }
  return pages;
}

class MemoryComparison {
 public:
  static OrFailure<MemoryComparison> make(const state::Image& a, const state::Image& b) {
    MemoryComparison c;
    c.a_ = TRY(c.open(a, c.size_a_));
    c.b_ = TRY(c.open(b, c.size_b_));
    return c;
  }
  // What differs of one space; null: nothing.
  OrFailure<Json> compare(const std::string& owner, const ImageMemory& a, const ImageMemory& b) {
    const auto left = TRY(pages_of(a, size_a_)), right = TRY(pages_of(b, size_b_));
    uint64_t changed = 0, both = 0;
    for (const auto& [address, at] : left) {
      const auto it = right.find(address);
      if (it == right.end()) continue;
      both++;
      changed += !TRY(same_page(at, it->second));
    }
    if (changed == 0 && both == left.size() && both == right.size()) return Json();
    return Json{{"owner", owner},
                {"pages", {left.size(), right.size()}},
                {"changed", changed},
                {"only_a", left.size() - both},
                {"only_b", right.size() - both}};
  }

 private:
  static OrFailure<Ref<HostFd>> open(const state::Image& image, uint64_t& size) {
    Ref<HostFd> file = TRY(image.file(kMemoryPart));
    const auto end = host::lseek(*file, 0, SEEK_END);
    if (!end)
      return fail(fmt::format("image part {}: {}", kMemoryPart, strerror(int(end.error()))));
    size = *end;
    return file;
  }
  OrFailure<bool> same_page(uint64_t a, uint64_t b) {
    TRY(read(*a_, a, left_));
    TRY(read(*b_, b, right_));
    return left_ == right_;
  }
  static OrFailure<void> read(const HostFd& file, uint64_t at, std::vector<std::byte>& to) {
    const auto n = host::pread(file, to, at);
    if (!n) return fail(fmt::format("image part {}: {}", kMemoryPart, strerror(int(n.error()))));
    if (*n != kPage) return fail(fmt::format("image part {}: it ends too early", kMemoryPart));
    return {};
  }
  Ref<HostFd> a_, b_;
  uint64_t size_a_ = 0, size_b_ = 0;
  std::vector<std::byte> left_ = std::vector<std::byte>(kPage), right_ = left_;
};

OrFailure<Json> memory_differences(const OpenedImage& a, const OpenedImage& b) {
  std::map<std::string, std::pair<ImageMemory, ImageMemory>> spaces;
  for (ImageMemory& m : TRY(memory_of(a))) spaces[m.owner].first = std::move(m);
  for (ImageMemory& m : TRY(memory_of(b))) spaces[m.owner].second = std::move(m);
  MemoryComparison comparison = TRY(MemoryComparison::make(a.image, b.image));
  Json out = Json::array();
  for (const auto& [owner, pair] : spaces) {
    Json found = TRY(comparison.compare(owner, pair.first, pair.second));
    if (!found.is_null()) out.push_back(std::move(found));
  }
  return out;
}

std::string pair_text(const Json& pair) {
  return fmt::format("{} -> {}", printable(to_text(pair[0])), printable(to_text(pair[1])));
}

}  // namespace

OrFailure<Json> image_differences(const OpenedImage& a, const OpenedImage& b) {
  const Comparison compare(a.state, b.state);
  Json out = {{"manifest", manifest_differences(a.image.manifest(), b.image.manifest())},
              {"parts", part_differences(a.image.manifest(), b.image.manifest())},
              {"classes", class_differences(a.state, b.state, compare)},
              {"roots", root_differences(a.state, b.state, compare)},
              {"memory", TRY(memory_differences(a, b))}};
  bool equal = out["manifest"].empty() && out["classes"].empty() && out["roots"].empty() &&
               out["memory"].empty();
  for (const Json& part : out["parts"]) equal = equal && part["equal"] == true;
  out["equal"] = equal;
  return out;
}

std::string differences_table(const Json& d) {
  std::string out;
  for (const auto& [key, pair] : d["manifest"].items()) {
    out += fmt::format("manifest {}: {}\n", printable(key), pair_text(pair));
  }
  for (const Json& part : d["parts"]) {
    if (part["equal"] == true) continue;
    out += fmt::format("part {}: {} bytes\n", printable(part["part"]), pair_text(part["sizes"]));
  }
  for (const Json& root : d["roots"]) out += fmt::format("root {}\n", printable(root));
  for (const Json& c : d["classes"]) {
    out += fmt::format("class {}", printable(c["class"]));
    if (c["counts"][0] != c["counts"][1]) out += ": " + pair_text(c["counts"]) + " objects";
    out += "\n";
    for (const auto& [field, count] : c["fields"].items()) {
      out += fmt::format("  {}: differs in {}\n", printable(field), count.get<uint64_t>());
    }
  }
  for (const Json& m : d["memory"]) {
    out += fmt::format("memory of {}: {} pages; {} changed, {} gone, {} new\n",
                       printable(m["owner"]), pair_text(m["pages"]), m["changed"].get<uint64_t>(),
                       m["only_a"].get<uint64_t>(), m["only_b"].get<uint64_t>());
  }
  return out;
}

}  // namespace usk
