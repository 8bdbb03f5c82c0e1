#include "state/values.h"

#include <cxxabi.h>

#include <cstdlib>
#include <string_view>

namespace usk::state {

std::string readable_name(const std::type_info& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  std::string name = status == 0 ? text.get() : type.name();
  for (size_t at; (at = name.find("usk::")) != std::string::npos;) name.erase(at, 5);
  for (size_t at; (at = name.find("(anonymous namespace)::")) != std::string::npos;) {
    name.erase(at, 23);
  }
  return name;
}

int next_type_number() {
  static std::atomic<int> next{0};
  return next.fetch_add(1);
}

void NameCollector::add(const char* names, size_t count) {
  std::string_view rest = names;
  size_t found = 0;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    std::string_view name = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    while (!name.empty() && std::string_view(" \n\t&*").contains(name.front()))
      name.remove_prefix(1);
    while (!name.empty() && std::string_view(" \n\t_").contains(name.back())) name.remove_suffix(1);
    names_.push_back(prefix_ + std::string(name));
    found++;
  }
  CHECK(found == count);
}

}  // namespace usk::state
