// What of an object is saved: one line per class.
#pragma once
#include "base/lock.h"

namespace usk {

namespace state {
class Fields;    // What make_saved() of a class sees (state/loader.h) ...
class Restored;  // ... and its restored().
struct Access;   // A class may befriend it to keep what saving needs to itself (state/access.h).
class Fields;
class Restored;
class Services;
}  // namespace state

// The constructor of an object whose members are read from a saved state next: it has no effect
// outside of the object.
struct Blank {};

}  // namespace usk

// Declares fields(ar), which names and visits the members that make up the object's state, for
// saving, restoring and dumping. Derived state (caches, wait registrations) is not listed.
#define USK_FIELDS(...)                              \
  template <class A>                                 \
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {     \
    ar.all(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
  }

// Whether an archive saves or loads; else it only asks for names.
template <class A>
concept MovesState = requires(A& ar) { ar.services(); };
template <class A>
concept SavesState = MovesState<A> && !A::kLoading;

// The same for a class with a base class that has fields, too. In a saved state these are called
// "Base.name".
#define USK_FIELDS_OF(Base, ...)                     \
  template <class A>                                 \
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {     \
    ar.template base<Base>(#Base, *this);            \
    ar.all(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
  }
