// Numbers that are given once in a sandbox's life: of mounts, namespaces, open files ...
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "base/threads.h"

namespace usk {

// A static object. How far each has come is part of a sandbox's state, so that one that is brought
// back does not give a number for the second time.
class IdCounter {
 public:
  // `name` tells it apart in saved states; the first number given is `first`.
  explicit IdCounter(const char* name, uint64_t first = 1);
  IdCounter(const IdCounter&) = delete;
  uint64_t next() { return add_to<uint64_t>(next_, 1); }

  // The next number of each counter that was ever asked.
  static std::map<std::string, uint64_t> all();
  // None gives a number below these from now on, those that are made later neither. Before there is
  // a second thread.
  static void raise_all(const std::map<std::string, uint64_t>& to);

 private:
  struct List;
  static List& list();
  const char* const name_;
  std::atomic<uint64_t> next_;
  IdCounter* before_;
};

}  // namespace usk
