// What of an object is saved: one line per class.
#pragma once
#include "base/lock.h"

// Declares fields(ar), which names and visits the members that make up the object's state, for
// saving, restoring and dumping. Derived state (caches, wait registrations) is not listed.
#define USK_FIELDS(...)                              \
  template <class A>                                 \
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {     \
    ar.all(#__VA_ARGS__ __VA_OPT__(, ) __VA_ARGS__); \
  }
