#include "state/singletons.h"

#include <algorithm>

namespace usk::state {
namespace {

std::string root_of(const Singleton& s) { return "once " + s.name; }

}  // namespace

std::vector<Singleton>& singletons() {
  static auto& all = *new std::vector<Singleton>;
  return all;
}

void save_singletons(Writer& writer) {
  std::ranges::sort(singletons(), {}, &Singleton::name);
  for (const Singleton& s : singletons()) s.name_it(writer, s.name);
  for (const Singleton& s : singletons()) {
    if (s.save) s.save(writer, root_of(s));
  }
}

void name_singletons(Loader& loader) {
  for (const Singleton& s : singletons()) s.stand_for(loader, s.name);
}

OrFailure<void> load_singletons(Loader& loader) {
  for (const Singleton& s : singletons()) {
    if (s.load) TRY(s.load(loader, root_of(s)));
  }
  return {};
}

}  // namespace usk::state
