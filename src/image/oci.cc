#include "image/oci.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "image/archive.h"

namespace usk {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDocument = 4 << 20;
constexpr size_t kMaxLayers = 512, kMaxManifests = 1024;
constexpr int kMaxDepth = 32;   // Of JSON.
constexpr int kMaxIndexes = 4;  // One within another.

OrFailure<Json> parse(const std::string& text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxDepth; };
  Json json = Json::parse(text, shallow, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail("it is not a JSON object");
  return json;
}

const Json& member(const Json& object, const char* key) {
  static const Json none;
  if (!object.is_object()) return none;
  auto it = object.find(key);
  return it == object.end() ? none : *it;
}

std::string text(const Json& object, const char* key) {
  const Json& j = member(object, key);
  return j.is_string() ? j.get<std::string>() : std::string();
}

OrFailure<std::vector<std::string>> texts(const Json& object, const char* key) {
  std::vector<std::string> out;
  const Json& list = member(object, key);
  if (list.is_null()) return out;
  if (!list.is_array()) return fail(fmt::format("its {} is no list", key));
  for (const Json& j : list) {
    if (!j.is_string() || j.get<std::string>().find('\0') != std::string::npos) {
      return fail(fmt::format("its {} is no list of strings", key));
    }
    out.push_back(j.get<std::string>());
  }
  return out;
}

std::unexpected<Failure> about(const std::string& what, const Failure& f) {
  return fail(fmt::format("{}: {}", what, f.message));
}

class Layout {
 public:
  Layout(const LayoutFiles& files, const std::string& tag) : files_(files), tag_(tag) {}

  OrFailure<ImageConfig> unpack(ImageBuilder& into) {
    const Json index = TRY(document("index.json", {}));
    TRY(collect(index, true, 0));
    if (found_.empty()) {
      return fail(tag_.empty() ? "it has no image for linux/amd64"
                               : fmt::format("it has no image {} for linux/amd64", shown(tag_)));
    }
    if (found_.size() > 1) {
      return fail(fmt::format("it has {} images; choose one by its name, as in --root PATH:NAME{}",
                              found_.size(), known_names()));
    }
    const Json manifest = TRY(open_document(found_.front().descriptor));
    const Json config = TRY(open_document(member(manifest, "config")));
    TRY(check_platform(config));
    const Json& layers = member(manifest, "layers");
    if (!layers.is_array() || layers.size() > kMaxLayers)
      return fail("its list of layers is wrong");
    for (const Json& layer : layers) TRY(unpack_layer(layer, into));
    return image_config(member(config, "config"));
  }

 private:
  struct Found {
    Json descriptor;
    std::string name;
  };

  OrFailure<Json> document(const std::string& path, const std::string& digest) {
    auto blob = files_(path);
    if (!blob) return about(path, blob.error());
    auto bytes = read_blob(*blob, kMaxDocument, digest);
    if (!bytes) return about(path, bytes.error());
    auto json = parse(*bytes);
    if (!json) return about(path, json.error());
    return json;
  }

  // The file that a descriptor (descriptor.md) tells of, which has the size it says.
  OrFailure<Blob> open(const Json& descriptor, std::string& path) {
    const std::string digest = text(descriptor, "digest");
    const size_t colon = digest.find(':');
    const std::string algorithm = digest.substr(0, colon);
    const std::string hex = colon == digest.npos ? "" : digest.substr(colon + 1);
    // Nothing else makes a path: no slash, no dot.
    if ((algorithm != "sha256" && algorithm != "sha512") || hex.empty() ||
        hex.find_first_not_of("0123456789abcdef") != hex.npos) {
      return fail(fmt::format("it names a blob {:?}, which is no digest", shown(digest)));
    }
    path = fmt::format("blobs/{}/{}", algorithm, hex);
    auto blob = files_(path);
    if (!blob) return about(path, blob.error());
    const Json& size = member(descriptor, "size");
    if (!size.is_number_unsigned() || size.get<uint64_t>() != blob->size) {
      return fail(fmt::format("{}: it has another size than the image says", path));
    }
    return blob;
  }

  OrFailure<Json> open_document(const Json& descriptor) {
    std::string path;
    TRY(open(descriptor, path));
    return document(path, text(descriptor, "digest"));
  }

  // The images of an index that could be meant.
  OrFailure<void> collect(const Json& index, bool named, int depth) {
    if (depth > kMaxIndexes) return fail("its indexes lie too deep in one another");
    const Json& manifests = member(index, "manifests");
    if (!manifests.is_array()) return fail("index.json: it has no list of manifests");
    for (const Json& m : manifests) {
      if (++seen_ > kMaxManifests) return fail("it has too many images");
      const std::string name = text(member(m, "annotations"), "org.opencontainers.image.ref.name");
      if (named && !name.empty()) names_.push_back(name);
      if (named && !tag_.empty() && name != tag_) continue;
      const Json& platform = member(m, "platform");
      if (platform.is_object() &&
          (text(platform, "os") != "linux" || text(platform, "architecture") != "amd64")) {
        continue;
      }
      const std::string type = text(m, "mediaType");
      if (type == "application/vnd.oci.image.index.v1+json" ||
          type == "application/vnd.docker.distribution.manifest.list.v2+json") {
        TRY(collect(TRY(open_document(m)), false, depth + 1));
      } else if (type == "application/vnd.oci.image.manifest.v1+json" ||
                 type == "application/vnd.docker.distribution.manifest.v2+json") {
        found_.push_back({m, name});
      }
    }
    return {};
  }

  std::string known_names() const {
    std::string out;
    for (size_t i = 0; i < std::min<size_t>(names_.size(), 8); i++) {
      out += (i ? ", " : ": ") + shown(names_[i]);
    }
    return out;
  }

  static OrFailure<void> check_platform(const Json& config) {
    const std::string os = text(config, "os"), machine = text(config, "architecture");
    if (os == "linux" && machine == "amd64") return {};
    return fail(fmt::format("the image is for {}/{}, not linux/amd64", shown(os), shown(machine)));
  }

  OrFailure<void> unpack_layer(const Json& descriptor, ImageBuilder& into) {
    std::string path;
    BlobReader reader(TRY(open(descriptor, path)));
    OrFailure<void> done = reader.expect(text(descriptor, "digest"));
    if (done) done = unpack_archive(reader, true, into);
    if (!done) return about(path, done.error());
    return {};
  }

  static OrFailure<ImageConfig> image_config(const Json& c) {
    ImageConfig out;
    out.env = TRY(texts(c, "Env"));
    out.entrypoint = TRY(texts(c, "Entrypoint"));
    out.command = TRY(texts(c, "Cmd"));
    out.cwd = text(c, "WorkingDir");
    out.user = text(c, "User");
    if (!out.cwd.empty() && out.cwd[0] != '/') return fail("its WorkingDir is not absolute");
    if (out.cwd.find('\0') != out.cwd.npos) return fail("its WorkingDir has a zero byte");
    return out;
  }

  const LayoutFiles& files_;
  const std::string& tag_;
  std::vector<Found> found_;
  std::vector<std::string> names_;
  size_t seen_ = 0;
};

}  // namespace

OrFailure<ImageConfig> unpack_layout(const LayoutFiles& files, const std::string& tag,
                                     ImageBuilder& into) {
  return Layout(files, tag).unpack(into);
}

}  // namespace usk
