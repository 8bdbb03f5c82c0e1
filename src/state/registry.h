// The classes that can be saved, by type and by name.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "base/failure.h"
#include "base/ref.h"

namespace usk::state {

class Fields;
class Loader;
class Restored;
class Writer;

// An object as the loader gets it from its class: one count, or the only pointer to it.
struct Made {
  void* address = nullptr;        // As the class itself.
  RefCounted* counted = nullptr;  // Null: the class does not count.
};

// What is done with objects of one class. Made by USK_SAVED.
struct SavedClass {
  std::string name;
  const std::type_info* type = nullptr;
  size_t size = 0;  // Of an object.
  void (*save)(Writer&, const void*) = nullptr;
  OrFailure<Made> (*make)(Fields&) = nullptr;
  void (*load)(Loader&, void*) = nullptr;
  OrFailure<void> (*restored)(void*, Restored&) = nullptr;  // Null: nothing is derived.
  int stage = 0;
  // For classes that do not count.
  std::shared_ptr<void> (*share)(void*) = nullptr;
  void (*destroy)(void*) = nullptr;
  // The object as one of its base classes. Of counting classes dynamic_cast knows them all.
  struct Cast {
    const std::type_info* to;
    void* (*cast)(void*);
  };
  std::vector<Cast> casts;
};

class Registry {
 public:
  static Registry& get();
  // Names and types are unique. Called before main().
  void add(SavedClass c);
  const SavedClass* find(const std::type_info& type) const;
  const SavedClass* find(std::string_view name) const;
  const std::vector<std::unique_ptr<SavedClass>>& all() const { return classes_; }

 private:
  std::vector<std::unique_ptr<SavedClass>> classes_;
  std::unordered_map<std::type_index, const SavedClass*> by_type_;
  std::unordered_map<std::string_view, const SavedClass*> by_name_;
};

}  // namespace usk::state
