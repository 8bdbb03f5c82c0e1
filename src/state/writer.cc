#include "state/writer.h"

#include <fmt/format.h>

namespace usk::state {

void Writer::fail(std::string_view why) {
  if (error_.empty()) error_ = fmt::format("cannot save: {} at {}", why, where());
}

std::string Writer::where() const {
  if (current_ == kNoObject) return roots_.empty() ? "?" : roots_.back();
  return where(current_, field_);
}

// "root.field.field", along the way on which each object was met first.
std::string Writer::where(uint32_t object, uint32_t field) const {
  std::string path;
  for (size_t steps = 0; object != kNoObject && steps <= objects_.size(); steps++) {
    const Object& o = objects_[object];
    std::string name = "?";
    for (const ClassOfImage& c : classes_) {
      if (c.name == o.saved_class->name && field < c.fields->size()) name = (*c.fields)[field];
    }
    path = "." + name + path;
    object = o.reached_from;
    field = o.reached_by;
  }
  return (field < roots_.size() ? roots_[field] : "?") + path;
}

void Writer::begin_root(std::string_view name) {
  for (const std::string& root : roots_) {
    if (root == name) fail(fmt::format("a second root \"{}\"", name));
  }
  roots_.emplace_back(name);
  std::swap(out_, root_values_);
  out_.string(name);
  // What is met directly here has no object before it. Structs in a root are not at depth 1.
  current_ = kNoObject;
  depth_ = 1;
  field_ = uint32_t(roots_.size() - 1);
}

// All that was met is saved at once: what only the saving needs may go when root() returns.
void Writer::end_root() {
  depth_ = 0;
  std::swap(out_, root_values_);
  for (current_ = saved_; current_ < objects_.size() && error_.empty(); current_++) {
    const Object o = objects_[current_];
    o.saved_class->save(*this, o.address);
  }
  saved_ = current_;
  current_ = kNoObject;
}

void Writer::add_singleton(std::string_view name, const void* address, const std::type_info& type) {
  singletons_[address] = {std::string(name), &type};
}

const SavedClass* Writer::class_of(const std::type_info& type) {
  const SavedClass*& known = known_[&type];
  if (!known) known = Registry::get().find(type);
  return known;
}

void Writer::put_reference(const void* address, const std::type_info& type, bool owned) {
  if (const auto it = singletons_.find(address);
      it != singletons_.end() && *it->second.type == type) {
    return out_.string(it->second.name);
  }
  const auto [it, is_new] = ids_.emplace(address, uint32_t(objects_.size()));
  if (is_new) {
    const SavedClass* saved_class = class_of(type);
    if (!saved_class) {
      ids_.erase(it);
      fail(readable_name(type));
      return out_.null();
    }
    objects_.push_back({address, saved_class, current_, field_, owned});
  } else {
    Object& o = objects_[it->second];
    if (*o.saved_class->type != type) {
      fail(fmt::format("{} in the place of a {}", readable_name(type), o.saved_class->name));
    }
    o.owned |= owned;
  }
  out_.number(uint64_t(it->second));
}

uint32_t Writer::add_class(const std::type_info& type, const FieldNames& fields) {
  const SavedClass* saved_class = class_of(type);
  classes_.push_back({saved_class ? saved_class->name : readable_name(type), &fields});
  return uint32_t(classes_.size() - 1);
}

OrFailure<std::string> Writer::finish() {
  for (const Object& o : objects_) {
    if (!error_.empty()) break;
    if (o.owned) continue;
    error_ = fmt::format("cannot save: {} at {} belongs to nobody", o.saved_class->name,
                         where(o.reached_from, o.reached_by));
  }
  if (!error_.empty()) return usk::fail(error_);

  CborWriter image;
  image.head(Major::kTag, kSelfDescribed);
  image.array(6);
  image.string(kMagic);
  image.number(kFormatVersion);
  image.string(build_);
  image.array(classes_.size());
  for (const ClassOfImage& c : classes_) {
    image.array(2);
    image.string(c.name);
    image.array(c.fields->size());
    for (const std::string& name : *c.fields) image.string(name);
  }
  image.map(roots_.size());
  image.raw(root_values_.out());
  image.array(objects_.size());
  image.raw(out_.out());
  return image.take();
}

}  // namespace usk::state
