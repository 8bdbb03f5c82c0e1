// Objects that exist once per process, such as the file system of all pipes.
#pragma once
#include "base/failure.h"
#include "state/saved.h"

namespace usk::state {

struct Singleton {
  std::string name;
  void (*name_it)(Writer&, const std::string& name) = nullptr;
  void (*save)(Writer&, const std::string& root) = nullptr;  // Null: it has no state of its own.
  void (*stand_for)(Loader&, const std::string& name) = nullptr;
  OrFailure<void> (*load)(Loader&, const std::string& root) = nullptr;
};

// In the order of their names. Filled before main().
std::vector<Singleton>& singletons();

// Pointers to singletons become names, and their own state becomes roots "once NAME".
void save_singletons(Writer& writer);
// Before load(), and after it: each takes up the state of the one that was saved.
void name_singletons(Loader& loader);
OrFailure<void> load_singletons(Loader& loader);

// Reached by `kGet`, a function that returns a reference and makes the object at its first call.
template <auto kGet>
struct SingletonRegistration {
  explicit SingletonRegistration(std::string_view name) {
    using T = std::remove_reference_t<decltype(kGet())>;
    Singleton s;
    s.name = name;
    s.name_it = [](Writer& w, const std::string& n) { w.singleton(n, &kGet()); };
    s.stand_for = [](Loader& l, const std::string& n) { l.singleton(n, &kGet()); };
    if constexpr (Access::has_fields<T>()) {
      s.save = [](Writer& w, const std::string& root) { w.root(root, kGet()); };
      s.load = [](Loader& l, const std::string& root) -> OrFailure<void> {
        if (!l.has_root(root)) return {};
        TRY(l.root(root, kGet()));
        if constexpr (requires { kGet().is_whole(); }) {
          if (!kGet().is_whole()) return fail(root + ": parts of it are missing");
        }
        return {};
      };
    }
    singletons().push_back(std::move(s));
  }
};

}  // namespace usk::state

// `get` is a function without arguments; `name` never changes again.
#define USK_SINGLETON(get, name)                                                              \
  [[maybe_unused]] static const ::usk::state::SingletonRegistration<(&get)> USK_SAVED_CONCAT( \
      usk_singleton_, __LINE__)(name);
