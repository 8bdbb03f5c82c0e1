#include "state/registry.h"

#include "base/check.h"

namespace usk::state {

Registry& Registry::get() {
  static Registry registry;
  return registry;
}

void Registry::add(SavedClass c) {
  classes_.push_back(std::make_unique<SavedClass>(std::move(c)));
  const SavedClass* added = classes_.back().get();
  CHECK(by_name_.emplace(added->name, added).second);
  CHECK(by_type_.emplace(*added->type, added).second);
}

const SavedClass* Registry::find(const std::type_info& type) const {
  const auto it = by_type_.find(type);
  return it == by_type_.end() ? nullptr : it->second;
}

const SavedClass* Registry::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : it->second;
}

}  // namespace usk::state
