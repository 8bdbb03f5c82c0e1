// How kinds of C++ values are told apart, and what names they go by in a saved state.
#pragma once
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/time.h>
#include <time.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/ref.h"
#include "base/shared_any.h"
#include "state/access.h"

namespace usk::state {

// A type that C++ code cannot rename without breaking old images should not be needed; what is
// shown of an inline struct is its C++ name without the namespace.
std::string readable_name(const std::type_info& type);

// Structs of the C library whose bytes are their value.
template <class T>
inline constexpr bool kSavedAsBytes =
    std::is_same_v<T, cpu_set_t> || std::is_same_v<T, siginfo_t> || std::is_same_v<T, epoll_event>;

// ... and those whose members are.
inline auto saved_parts(timespec& v) { return std::tie(v.tv_sec, v.tv_nsec); }
inline auto saved_parts(winsize& v) {
  return std::tie(v.ws_row, v.ws_col, v.ws_xpixel, v.ws_ypixel);
}
inline auto saved_parts(sembuf& v) { return std::tie(v.sem_num, v.sem_op, v.sem_flg); }
inline auto saved_parts(timeval& v) { return std::tie(v.tv_sec, v.tv_usec); }
inline auto saved_parts(rlimit64& v) { return std::tie(v.rlim_cur, v.rlim_max); }
inline auto saved_parts(rlimit& v) { return std::tie(v.rlim_cur, v.rlim_max); }
template <class T>
concept HasParts = requires(T& v) { saved_parts(v); };

template <class T>
concept ByteLike =
    std::is_same_v<T, char> || std::is_same_v<T, uint8_t> || std::is_same_v<T, std::byte>;

// An enumeration may name its last value, so that none beyond is ever read:
// `constexpr Kind saved_max(Kind) { return Kind::kLast; }` beside it.
template <class T>
concept HasMax = std::is_enum_v<T> && requires(T v) { saved_max(v); };

template <class T, template <class...> class Template>
inline constexpr bool kIsA = false;
template <class... A, template <class...> class Template>
inline constexpr bool kIsA<Template<A...>, Template> = true;

template <class T>
inline constexpr bool kIsStdArray = false;
template <class T, size_t N>
inline constexpr bool kIsStdArray<std::array<T, N>> = true;

template <class T>
inline constexpr bool kIsHashed = kIsA<T, std::unordered_map> || kIsA<T, std::unordered_set>;

template <class T>
concept Sequence = requires(T& c) {
  typename T::value_type;
  c.emplace_back();
  c.begin();
} && !std::is_same_v<T, std::string>;

template <class T>
concept MapLike = requires { typename T::mapped_type; } && !kIsA<T, std::unordered_multimap>;

template <class T>
concept SetLike = requires { typename T::key_type; } && !requires { typename T::mapped_type; };

// Addresses differ from run to run: what is ordered by them must be rebuilt, not saved.
template <class T>
inline constexpr bool kIsPointerKey =
    std::is_pointer_v<T> || kIsA<T, Ref> || kIsA<T, std::shared_ptr> || kIsA<T, std::unique_ptr>;

// A value for one that is read next.
template <class T>
T fresh_value() {
  if constexpr (std::is_constructible_v<T, Blank>) {
    return T(Blank());
  } else {
    return T();
  }
}

// The name of a std::variant's alternative: its kName, else its C++ name.
template <class T>
std::string alternative_name() {
  if constexpr (requires { T::kSavedName; }) {
    return std::string(T::kSavedName);
  } else {
    return readable_name(typeid(T));
  }
}

// A small number for each type that is saved, for tables.
int next_type_number();
template <class T>
int type_number() {
  static const int number = next_type_number();
  return number;
}

// The names of the members that fields() visits.
using FieldNames = std::vector<std::string>;

// Receives what fields() says, and looks at names only.
class NameCollector {
 public:
  static constexpr bool kLoading = false;
  template <class... T>
  void all(const char* names, T&&...) {
    add(names, sizeof...(T));
  }
  template <class Base>
  void base(const char* name, Base& object) {
    const std::string outer = std::exchange(prefix_, std::string(name) + ".");
    object.Base::fields(*this);
    prefix_ = outer;
  }
  FieldNames take() { return std::move(names_); }

 private:
  // Cuts "a_, b.c_" into "a" and "b.c".
  void add(const char* names, size_t count);
  std::string prefix_;
  FieldNames names_;
};

// Which fields T has; `object` only says to fields() what it is called on.
template <class T>
const FieldNames& field_names(T& object) {
  static const FieldNames names = [&] {
    NameCollector collector;
    Access::fields(object, collector);
    return collector.take();
  }();
  return names;
}

}  // namespace usk::state
