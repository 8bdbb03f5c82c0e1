#include "state/loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/writer.h"

namespace usk::state {

bool Fields::has(std::string_view name) const { return find(name) != nullptr; }

Services& Fields::services() { return loader_.services_; }

// Where the field of that name begins; null: there is none.
const char* Fields::find(std::string_view name) const {
  const Loader::Object& o = loader_.objects_[object_];
  const FieldNames& names = loader_.classes_[o.class_number].fields;
  const auto it = std::ranges::find(names, name);
  if (it == names.end()) return nullptr;
  // Objects were looked through when they were counted: all of this is well-formed.
  CborReader reader(std::string_view(o.at, loader_.reader_end_ - o.at));
  uint64_t ignored;
  if (!reader.array(ignored) || !reader.number(ignored)) return nullptr;
  for (auto skipped = names.begin(); skipped != it; ++skipped) {
    if (!reader.skip()) return nullptr;
  }
  return reader.position();
}

Loader::Loader() = default;

Loader::~Loader() {
  if (failed() && !free_after_failure_) {
    // Kept where leak checkers see them.
    static auto& left = *new std::vector<std::vector<Object>>;
    left.push_back(std::move(objects_));
    return;
  }
  for (Object& o : objects_) {
    if (o.stage != Object::kMade) continue;
    if (o.made.counted) {
      o.made.counted->unref();
    } else if (!o.shared && !o.taken) {
      classes_[o.class_number].saved_class->destroy(o.made.address);
    }
  }
}

void Loader::fail(std::string_view why) {
  if (error_.empty()) error_ = fmt::format("{}: {}", where(), why);
}

// "object 17 (fs/pipe/pipe) field slots.begin"
std::string Loader::where() const {
  std::string text = current_root_.empty() ? "header" : "root " + current_root_;
  if (current_ != kNoObject) {
    text = fmt::format("object {} ({})", current_, classes_[objects_[current_].class_number].name);
  }
  std::string path;
  for (const Frame* f = frame_; f; f = f->outer) {
    const FieldNames& names = *f->map->names;
    if (f->member < names.size()) path = names[f->member] + (path.empty() ? "" : ".") + path;
  }
  return path.empty() ? text : text + " field " + path;
}

void Loader::wrong_class(const SavedClass& found, const std::type_info& wanted) {
  fail(fmt::format("an object of class {} where {} is wanted", found.name, readable_name(wanted)));
}

OrFailure<void> Loader::malformed(const char* part) {
  if (error_.empty()) {
    error_ = fmt::format("{}: {}", part, reader_.error() ? reader_.error() : "it cannot be read");
  }
  return usk::fail(error_);
}

OrFailure<void> Loader::load(std::string_view image) {
  reader_ = CborReader(image);
  reader_end_ = image.data() + image.size();
  TRY(read_header());
  TRY(read_classes());
  TRY(read_roots());
  TRY(read_objects());
  for (uint32_t id = 0; id < objects_.size(); id++) {
    if (!make(id)) return usk::fail(error_);
  }
  for (uint32_t id = 0; id < objects_.size(); id++) {
    Object& o = objects_[id];
    current_ = id;
    reader_.seek(o.at);
    classes_[o.class_number].saved_class->load(*this, o.made.address);
    if (failed()) return usk::fail(error_);
  }
  current_ = kNoObject;
  return {};
}

OrFailure<void> Loader::read_header() {
  uint64_t tag, parts, version;
  std::string_view magic, build;
  if (!reader_.tag(tag) || tag != kSelfDescribed || !reader_.array(parts) || parts != 6 ||
      !reader_.string(magic) || magic != kMagic || !reader_.number(version)) {
    return usk::fail(error_ = "header: not a saved state");
  }
  if (version != kFormatVersion) {
    return usk::fail(error_ = fmt::format("header: format version {} is not known", version));
  }
  if (!reader_.string(build)) return malformed("header");
  build_ = build;
  return {};
}

OrFailure<void> Loader::read_classes() {
  uint64_t count;
  if (!reader_.array(count)) return malformed("classes");
  for (uint64_t i = 0; i < count; i++) {
    uint64_t parts, fields;
    std::string_view name;
    if (!reader_.array(parts)) return malformed("classes");
    if (parts != 2) return usk::fail(error_ = "classes: a class is its name and its fields");
    if (!reader_.string(name) || !reader_.array(fields)) return malformed("classes");
    ClassOfImage& c = classes_.emplace_back(std::string(name));
    c.saved_class = Registry::get().find(name);
    for (uint64_t f = 0; f < fields; f++) {
      if (!reader_.string(name)) return malformed("classes");
      c.fields.emplace_back(name);
    }
  }
  return {};
}

OrFailure<void> Loader::read_roots() {
  uint64_t count;
  if (!reader_.map(count)) return malformed("roots");
  for (uint64_t i = 0; i < count; i++) {
    std::string_view name;
    if (!reader_.string(name)) return malformed("roots");
    const bool is_new = roots_.emplace(std::string(name), reader_.position()).second;
    if (!is_new) return usk::fail(error_ = "roots: a name that comes twice");
    if (!reader_.skip()) return malformed("roots");
  }
  return {};
}

// Finds where each object stands. All of the input is well-formed after that.
OrFailure<void> Loader::read_objects() {
  uint64_t count;
  // So many bytes of objects per byte of input; real ones come to about ten.
  uint64_t budget = (16 << 20) + reader_.left() * 64;
  if (!reader_.array(count)) return malformed("objects");
  if (count > kMaxObjects) return usk::fail(error_ = "objects: too many");
  for (uint64_t i = 0; i < count; i++) {
    const char* at = reader_.position();
    uint64_t parts, number;
    if (!reader_.array(parts) || !reader_.number(number)) return malformed("objects");
    const std::string which = fmt::format("object {}", i);
    if (number >= classes_.size() || parts != classes_[number].fields.size() + 1) {
      return usk::fail(error_ = which + ": its class does not fit it");
    }
    const SavedClass* saved_class = classes_[number].saved_class;
    if (!saved_class) {
      return usk::fail(error_ = fmt::format("{}: class {} is not known to this build", which,
                                            classes_[number].name));
    }
    if (saved_class->size > budget) return usk::fail(error_ = which + ": too large");
    budget -= saved_class->size;
    objects_.emplace_back(at, uint32_t(number));
    for (uint64_t part = 1; part < parts; part++) {
      if (!reader_.skip()) return malformed(which.c_str());
    }
  }
  if (!reader_.at_end()) return usk::fail(error_ = "objects: bytes after the last");
  return {};
}

Loader::Object* Loader::object(uint64_t id) {
  if (id >= objects_.size()) {
    fail(fmt::format("there is no object {}", id));
    return nullptr;
  }
  return make(uint32_t(id)) ? &objects_[id] : nullptr;
}

bool Loader::make(uint32_t id) {
  Object& o = objects_[id];
  if (o.stage == Object::kMade) return true;
  if (o.stage == Object::kMaking || depth_ >= kMaxDepth) {
    fail(fmt::format("object {} would have to exist before itself", id));
    return false;
  }
  o.stage = Object::kMaking;
  depth_++;
  const uint32_t outer = std::exchange(current_, id);
  Frame* outer_frame = std::exchange(frame_, nullptr);
  Fields fields(*this, id);
  auto made = classes_[o.class_number].saved_class->make(fields);
  if (!made) fail(made.error().message);
  if (made && !failed()) {
    o.made = *made;
    o.stage = Object::kMade;
  }
  current_ = outer;
  frame_ = outer_frame;
  depth_--;
  return o.stage == Object::kMade;
}

bool Loader::begin_struct(uint32_t& class_number) {
  uint64_t parts, number;
  if (!reader_.array(parts)) return reader_failed(), false;
  if (parts == 0 || !reader_.number(number)) return fail("a struct without a class"), false;
  if (number >= classes_.size() || parts != classes_[number].fields.size() + 1) {
    return fail("a struct that its class does not fit"), false;
  }
  class_number = uint32_t(number);
  return true;
}

bool Loader::index_fields(size_t count, std::vector<const char*>& fields) {
  fields.reserve(count);
  for (size_t i = 0; i < count; i++) {
    fields.push_back(reader_.position());
    if (!reader_.skip()) return reader_failed(), false;
  }
  return true;
}

const Loader::FieldMap* Loader::map_for(FieldMaps& maps, uint32_t class_number,
                                        const FieldNames& names) {
  for (const auto& map : maps) {
    if (map->class_number == class_number) return map.get();
  }
  const FieldNames& found = classes_[class_number].fields;
  auto map = std::make_unique<FieldMap>(class_number, found == names, std::vector<int>(), &names);
  for (const std::string& name : names) {
    const auto it = std::ranges::find(found, name);
    map->from.push_back(it == found.end() ? -1 : int(it - found.begin()));
  }
  return maps.emplace_back(std::move(map)).get();
}

OrFailure<void> Loader::check_owners() {
  for (uint32_t id = 0; id < objects_.size(); id++) {
    if (objects_[id].owned || !objects_[id].borrowed) continue;
    current_ = id;
    fail("it belongs to nobody");
    return usk::fail(error_);
  }
  return {};
}

OrFailure<void> Loader::finish() {
  if (failed()) return usk::fail(error_);
  TRY(check_owners());
  std::vector<uint32_t> order;
  for (uint32_t id = 0; id < objects_.size(); id++) {
    if (classes_[objects_[id].class_number].saved_class->restored) order.push_back(id);
  }
  std::ranges::sort(order, {}, [&](uint32_t id) {
    return std::pair(classes_[objects_[id].class_number].saved_class->stage, id);
  });
  Restored restored(services_);
  for (const uint32_t id : order) {
    current_ = id;
    auto done = classes_[objects_[id].class_number].saved_class->restored(objects_[id].made.address,
                                                                          restored);
    if (done) continue;
    fail(done.error().message);
    return usk::fail(error_);
  }
  finished_ = true;
  return {};
}

}  // namespace usk::state
