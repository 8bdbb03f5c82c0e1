#include "cli/image_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "boot/checkpoint.h"
#include "control/client.h"

namespace usk {
namespace {

using state::Document;

std::unexpected<Failure> bad(std::string_view what) {
  return fail(fmt::format("image part {}: {}", kStatePart, what));
}

const Document::Object* object_at(const Document& d, const Json& reference) {
  if (!reference.is_number_unsigned()) return nullptr;
  const auto n = reference.get<uint64_t>();
  return n < d.objects.size() ? &d.objects[n] : nullptr;
}

// The field of that name; null without it.
Json field_of(const Document& d, const Document::Object& o, std::string_view name) {
  const auto& names = d.classes[o.class_number].fields;
  const auto it = std::ranges::find(names, name);
  return it == names.end() ? Json() : o.values[size_t(it - names.begin())];
}

// The task's number in the first namespace, and its name.
std::string owner_text(const Document& d, const Document::Object& task) {
  std::string name;
  if (const Json comm = field_of(d, task, "comm"); comm.is_binary()) {
    const auto& bytes = comm.get_binary();
    name.assign(bytes.begin(), std::ranges::find(bytes, uint8_t(0)));
  }
  const Document::Object* pid = object_at(d, field_of(d, task, "pid"));
  const Json numbers = pid ? field_of(d, *pid, "numbers") : Json();
  const bool known = numbers.is_array() && !numbers.empty() && numbers[0].is_array() &&
                     numbers[0].size() > 1 && numbers[0].back().is_number_integer();
  const std::string number = known ? numbers[0].back().dump() : "?";
  return fmt::format("{} ({})", number, name);
}

std::map<uint64_t, std::string> owners(const Document& d) {
  std::map<uint64_t, std::string> out;
  const Json* tasks = d.root("tasks");
  if (!tasks || !tasks->is_array()) return out;
  for (const Json& reference : *tasks) {
    const Document::Object* task = object_at(d, reference);
    const Json mm = task ? field_of(d, *task, "mm") : Json();
    if (mm.is_number_unsigned()) out.try_emplace(mm.get<uint64_t>(), owner_text(d, *task));
  }
  return out;
}

// As the part has them: [class, address, length, place].
bool read_run(const Json& from, ImageMemory::Run& to) {
  if (!from.is_array() || from.size() != 4) return false;
  for (const Json& n : from) {
    if (!n.is_number_unsigned()) return false;
  }
  to = {from[1].get<uint64_t>(), from[2].get<uint64_t>(), from[3].get<uint64_t>()};
  return to.length <= UINT64_MAX - to.address && to.length <= UINT64_MAX - to.at;
}

std::string size_text(uint64_t bytes) {
  if (bytes < 10 << 10) return fmt::format("{} B", bytes);
  if (bytes < 10 << 20) return fmt::format("{:.1f} KiB", double(bytes) / (1 << 10));
  return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20));
}

}  // namespace

OrFailure<OpenedImage> OpenedImage::open(const std::string& dir) {
  auto image = TRY(state::Image::open(dir));
  const std::string text = TRY(image.read(kStatePart));
  auto state = Document::parse(text);
  if (!state) return bad(state.error().message);
  return OpenedImage{dir, std::move(image), *std::move(state)};
}

OrFailure<std::vector<ImageMemory>> memory_of(const OpenedImage& image) {
  std::vector<ImageMemory> out;
  const Json* all = image.state.root("memory");
  if (!all || !all->is_array()) return bad("no list of memory");
  const auto owner = owners(image.state);
  for (const Json& saved : *all) {
    if (!saved.is_array() || saved.size() != 3 || !saved[2].is_array()) {
      return bad("memory of another kind");
    }
    ImageMemory& m = out.emplace_back();
    const auto it =
        saved[1].is_number_unsigned() ? owner.find(saved[1].get<uint64_t>()) : owner.end();
    m.owner = it == owner.end() ? "?" : it->second;
    for (const Json& run : saved[2]) {
      if (!read_run(run, m.runs.emplace_back())) return bad("pages where there is no memory");
    }
  }
  return out;
}

OrFailure<Json> image_report(const OpenedImage& image) {
  Json report = *parse_object(image.image.manifest().to_text());
  struct Kind {
    uint64_t count = 0, bytes = 0;
  };
  std::map<std::string, Kind> kinds;
  for (const Document::Object& o : image.state.objects) {
    Kind& kind = kinds[image.state.class_of(o)];
    kind.count++;
    kind.bytes += o.bytes;
  }
  std::vector<std::pair<std::string, Kind>> sorted(kinds.begin(), kinds.end());
  std::ranges::sort(sorted, [](const auto& a, const auto& b) {
    return std::tie(b.second.bytes, a.first) < std::tie(a.second.bytes, b.first);
  });
  report["objects"] = Json::array();
  for (const auto& [name, kind] : sorted) {
    report["objects"].push_back({{"class", name}, {"count", kind.count}, {"bytes", kind.bytes}});
  }
  report["memory"] = Json::array();
  for (const ImageMemory& m : TRY(memory_of(image))) {
    uint64_t bytes = 0;
    for (const ImageMemory::Run& run : m.runs) bytes += run.length;
    report["memory"].push_back({{"owner", m.owner}, {"bytes", bytes}});
  }
  return report;
}

std::string image_table(const OpenedImage& image, const Json& report) {
  const state::Manifest& m = image.image.manifest();
  const int64_t saved = m.realtime_ns / 1'000'000'000;
  std::string out = fmt::format("image       {}\nbuild       {}\nplatform    {}\n",
                                printable(image.dir), printable(m.build), printable(m.platform));
  // Up to the year 9999.
  if (saved >= 0 && saved < 253'402'300'800) {
    out += fmt::format("saved       {:%Y-%m-%dT%H:%M:%SZ}\n", fmt::gmtime(time_t(saved)));
  }
  out += fmt::format("generation  {}\n", m.generation);
  if (m.base) out += fmt::format("refers to   {}\n", printable(m.base->path));
  out += "\nPART                  SIZE\n";
  for (const state::Part& p : m.parts) {
    out += fmt::format("{:16} {:>12}", p.name, size_text(p.size));
    if (p.compressed) out += fmt::format("  zstd, holds {}", size_text(p.plain_size));
    out += "\n";
  }
  out += "\nMEMORY OF                    SIZE\n";
  for (const Json& memory : report["memory"]) {
    out += fmt::format("{:24} {:>10}\n", printable(memory["owner"]),
                       size_text(memory["bytes"].get<uint64_t>()));
  }
  out += "\nOBJECTS       SIZE  CLASS\n";
  for (const Json& kind : report["objects"]) {
    out += fmt::format("{:7} {:>10}  {}\n", kind["count"].get<uint64_t>(),
                       size_text(kind["bytes"].get<uint64_t>()), printable(kind["class"]));
  }
  return out;
}

Json whole_state(const Document& state) {
  Json classes = Json::array(), roots = Json::object(), objects = Json::array();
  for (const Document::Class& c : state.classes) {
    classes.push_back({{"class", c.name}, {"fields", c.fields}});
  }
  for (const auto& [name, value] : state.roots) roots[name] = state::shown(value);
  for (size_t id = 0; id < state.objects.size(); id++) {
    const Document::Object& o = state.objects[id];
    Json fields = Json::object();
    const auto& names = state.classes[o.class_number].fields;
    for (size_t i = 0; i < names.size(); i++) fields[names[i]] = state::shown(o.values[i]);
    objects.push_back({{"id", id}, {"class", state.class_of(o)}, {"fields", std::move(fields)}});
  }
  return {{"build", state.build},
          {"classes", std::move(classes)},
          {"roots", std::move(roots)},
          {"objects", std::move(objects)}};
}

}  // namespace usk
