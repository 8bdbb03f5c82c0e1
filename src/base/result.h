// Errors that the guest may see, and the way they travel.
#pragma once
#include <cerrno>
#include <cstdint>
#include <expected>
#include <type_traits>
#include <utility>

namespace usk {

// A Linux error number (errno(3)) as the guest sees it. Opaque: an int never becomes one by
// accident. EINTR and the restart codes are never produced by handlers: the run loop decides how
// a wait ends (kernel/run).
enum class Errno : int16_t {};

template <class T = void>
using Result = std::expected<T, Errno>;

constexpr std::unexpected<Errno> Err(int code) { return std::unexpected(Errno(code)); }
constexpr std::unexpected<Errno> Err(Errno code) { return std::unexpected(code); }

// Whether `r` failed with exactly errno `code`.
template <class T>
constexpr bool failed_with(const Result<T>& r, int code) {
  return !r && r.error() == Errno(code);
}

// The value of a Result; or, from the enclosing function, its error. Works for Result<void> too.
#define TRY(expr)                                      \
  ({                                                   \
    auto try_result_ = (expr);                         \
    if (!try_result_) [[unlikely]]                     \
      return std::unexpected(try_result_.error());     \
    ::usk::detail::take_value(std::move(try_result_)); \
  })

namespace detail {
template <class T, class E>
T take_value(std::expected<T, E>&& r) {
  if constexpr (!std::is_void_v<T>) return *std::move(r);
}
}  // namespace detail

}  // namespace usk
