// For the .cc file of a class that can be saved.
#pragma once
#include "state/loader.h"
#include "state/registry.h"
#include "state/writer.h"

namespace usk::state {

namespace detail {

template <class T>
OrFailure<Made> made(T* object) {
  Made m{object, nullptr};
  if constexpr (std::is_base_of_v<RefCounted, T>) m.counted = object;
  return m;
}

// Asks T itself, else makes a blank or a default one.
template <class T>
OrFailure<Made> make(Fields& in) {
  if constexpr (Access::has_make_saved<T>()) {
    auto object = TRY(Access::make_saved<T>(in));
    return made<T>(object.release());
  } else if constexpr (Access::has_blank<T>()) {
    return made(Access::blank<T>());
  } else {
    static_assert(Access::has_default<T>(),
                  "needs a constructor from Blank, a default one, or make_saved()");
    return made(Access::by_default<T>());
  }
}

template <class T, class... Bases>
SavedClass describe(std::string_view name) {
  SavedClass c;
  c.name = name;
  c.type = &typeid(T);
  c.size = sizeof(T);
  c.save = [](Writer& w, const void* p) { w.put_struct(*static_cast<const T*>(p)); };
  c.make = make<T>;
  c.load = [](Loader& l, void* p) { l.get_struct(*static_cast<T*>(p)); };
  if constexpr (Access::has_restored<T>()) {
    c.restored = [](void* p, Restored& r) { return Access::restored(*static_cast<T*>(p), r); };
    c.stage = Access::stage<T>();
  }
  if constexpr (!std::is_base_of_v<RefCounted, T>) {
    c.share = [](void* p) -> std::shared_ptr<void> {
      return std::shared_ptr<T>(static_cast<T*>(p));
    };
    c.destroy = [](void* p) { delete static_cast<T*>(p); };
  }
  (c.casts.push_back(
       {&typeid(Bases), [](void* p) -> void* { return static_cast<Bases*>(static_cast<T*>(p)); }}),
   ...);
  return c;
}

}  // namespace detail

template <class T, class... Bases>
struct Registration {
  explicit Registration(std::string_view name) {
    Registry::get().add(detail::describe<T, Bases...>(name));
  }
};

}  // namespace usk::state

#define USK_SAVED_CONCAT2(a, b) a##b
#define USK_SAVED_CONCAT(a, b) USK_SAVED_CONCAT2(a, b)

// Objects of `Class` can be saved, as `name`, which never changes again. Stands in its .cc file.
// The class has USK_FIELDS, and for making one again a constructor from Blank, a default
// constructor, or `static OrFailure<Ref<Class>> make_saved(state::Fields&)` (a unique_ptr if it
// does not count). `OrFailure<void> restored(state::Restored&)` rebuilds what is derived, once all
// objects have their members. Further arguments: base classes as which pointers know it, for
// classes that are no RefCounted.
#define USK_SAVED(Class, name, ...)                                                          \
  [[maybe_unused]] static const ::usk::state::Registration<Class __VA_OPT__(, ) __VA_ARGS__> \
      USK_SAVED_CONCAT(usk_saved_, __LINE__)(name);
