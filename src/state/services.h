// What exists once per kernel, for objects that are saved or restored: found by its type.
#pragma once
#include <typeindex>
#include <unordered_map>

#include "base/failure.h"
#include "state/values.h"

namespace usk::state {

class Services {
 public:
  template <class T>
  void add(T* service) {
    services_[typeid(T)] = service;
  }
  // Null: there is none here.
  template <class T>
  T* find() const {
    const auto it = services_.find(typeid(T));
    return it == services_.end() ? nullptr : static_cast<T*>(it->second);
  }
  template <class T>
  OrFailure<T*> get() const {
    if (T* service = find<T>()) return service;
    return fail("it needs " + readable_name(typeid(T)) + ", which is not there");
  }

 private:
  std::unordered_map<std::type_index, void*> services_;
};

}  // namespace usk::state
