// What saving may do with a class that befriends it: `friend state::Access;`.
#pragma once
#include <concepts>

#include "base/failure.h"
#include "base/fields.h"
#include "base/result.h"

namespace usk::state {

class Fields;

struct Access {
  template <class T>
  static consteval bool has_fields() {
    return requires(T& t, struct ProbeArchive& ar) { t.fields(ar); };
  }
  template <class T, class A>
  static void fields(T& object, A& ar) {
    object.fields(ar);
  }
  template <class T>
  static consteval bool has_blank() {
    return requires { new T(Blank()); };
  }
  template <class T>
  static T* blank() {
    return new T(Blank());
  }
  template <class T>
  static consteval bool has_default() {
    return requires { new T(); };
  }
  template <class T>
  static T* by_default() {
    return new T();
  }
  template <class T>
  static consteval bool has_make_saved() {
    return requires(Fields& in) { T::make_saved(in); };
  }
  template <class T>
  static auto make_saved(Fields& in) {
    return T::make_saved(in);
  }
  template <class T>
  static consteval bool has_restored() {
    return requires(T& t, Restored& r) {
      { t.restored(r) } -> std::same_as<OrFailure<void>>;
    };
  }
  template <class T>
  static OrFailure<void> restored(T& object, Restored& r) {
    return object.restored(r);
  }
  // Objects are restored in order of stage, then of id.
  template <class T>
  static consteval int stage() {
    if constexpr (requires { T::kRestoreStage; }) return T::kRestoreStage;
    return 0;
  }
};

// Declared fields, as against a plain value.
template <class T>
concept HasFields = Access::has_fields<T>();

}  // namespace usk::state
