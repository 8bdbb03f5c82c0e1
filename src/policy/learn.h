// From what a program did to rules that let it do so again: `usk learn`.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>

#include "policy/category.h"

namespace usk::policy {

// What a program was seen to do.
struct Deeds {
  static constexpr size_t kMax = 200'000;  // Objects; what comes then is left out.

  std::map<std::string, CategorySet> objects;  // By path, address or name.
  std::set<std::string> options;               // Lines that it cannot do without.
  bool complete = true;

  void add(Category category, std::string_view object);
};

// Where it did so: directories that the profile names by variables.
struct LearnedFrom {
  std::string command, directory, home;
};

// A profile that allows it, for a person to read. Names that differ from run to run (process ids,
// temporary files) and what a system's own directories hold are taken together; what looks like a
// secret has a line that says so.
std::string write_profile(const Deeds& deeds, const LearnedFrom& from);

}  // namespace usk::policy
