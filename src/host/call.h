// System calls of the host, made by hand: registers that a call does not use hold words that only
// this process knows. Once it is confined its filter lets most calls through only with these
// (calls.def), so that code which somebody else put together of our own instructions, and libc's
// own wrappers, which leave those registers to chance, cannot make them.
#pragma once
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace usk::host {

// What register i of a call holds that does not use it. Zero until choose_cookies().
struct Cookies {
  uint64_t words[6];
};
extern const Cookies& cookies;

// Fills them at random and makes them read-only, for as long as the process lives where the host
// has mseal(2): then it is true. Once, at start.
bool choose_cookies();

namespace detail {

template <class T>
uint64_t as_word(T value) {
  if constexpr (std::is_pointer_v<T>) {
    return reinterpret_cast<uint64_t>(value);
  } else if constexpr (std::is_null_pointer_v<T>) {
    return 0;
  } else if constexpr (std::is_enum_v<T>) {
    return uint64_t(int64_t(value));
  } else if constexpr (std::is_signed_v<T>) {
    return uint64_t(int64_t(value));
  } else {
    return uint64_t(value);
  }
}

inline long make_call(long nr, const uint64_t (&args)[6]) {
  long result;
  register uint64_t r10 asm("r10") = args[3];
  register uint64_t r8 asm("r8") = args[4];
  register uint64_t r9 asm("r9") = args[5];
  asm volatile("syscall"
               : "=a"(result)
               : "a"(nr), "D"(args[0]), "S"(args[1]), "d"(args[2]), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace detail

// The value of the call; -1 and errno, as libc has it.
template <class... Args>
long guarded(long nr, Args... args) {
  constexpr size_t kUsed = sizeof...(Args);
  static_assert(kUsed <= 6);
  uint64_t words[6];
  for (size_t i = kUsed; i < 6; i++) words[i] = cookies.words[i];
  [[maybe_unused]] size_t at = 0;
  ((words[at++] = detail::as_word(args)), ...);
  const long result = detail::make_call(nr, words);
  if (result < 0 && result > -4096) {
    errno = int(-result);
    return -1;
  }
  return result;
}

// For calls that use all registers: an int that is an argument takes the lower half of one, and
// nobody looks at the upper.
inline uint64_t guarded_int(size_t argument, int value) {
  return (cookies.words[argument] & ~0xffffffffull) | uint32_t(value);
}

// preadv2(2) and pwritev2(2) of one buffer; -1: at the file's own position. 64-bit hosts do not
// look at the fifth register.
template <class Vector>
long guarded_vector(long nr, int fd, const Vector& v, int64_t offset, int flags) {
  return guarded(nr, fd, &v, 1, offset, cookies.words[4], flags);
}

}  // namespace usk::host
