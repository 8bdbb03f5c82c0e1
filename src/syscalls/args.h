// The types of system call arguments: how each reads its registers. How they print is trace/format.
#pragma once
#include <array>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "mm/user.h"

namespace usk {

using SyscallArgs = std::array<uint64_t, 6>;

// A file descriptor; a directory descriptor that may be AT_FDCWD.
struct Fd {
  int32_t n;
};
struct DirFd {
  int32_t n;
};
// A path name.
struct UserPath {
  uint64_t addr = 0;
  operator UserStr() const { return {addr}; }
};
// Permission bits (printed in octal), a signal number, a process id.
struct ModeBits {
  uint32_t bits;
};
struct SignalNr {
  int32_t n;
};
struct PidNr {
  int32_t n;
};
// A set of flags; Tag says whose, for printing.
template <class Tag>
struct Flags {
  uint32_t bits;
  Result<void> only(uint32_t allowed) const {
    if (bits & ~allowed) return Err(EINVAL);
    return {};
  }
  bool has(uint32_t b) const { return bits & b; }
};
using OpenFlags = Flags<struct OpenFlagsTag>;
using AtFlags = Flags<struct AtFlagsTag>;
using MmapProt = Flags<struct MmapProtTag>;
using MmapFlags = Flags<struct MmapFlagsTag>;
using CloexecFlags = Flags<struct CloexecFlagsTag>;  // O_CLOEXEC and O_NONBLOCK style.
// clone(2)'s flags.
struct CloneFlags {
  uint64_t bits;
};

// How an argument type reads its registers. One specialisation per kind of type.
template <class T>
struct Arg {
  static constexpr size_t kRegs = 1;
  static T from(const uint64_t* r) {
    if constexpr (std::is_integral_v<T>) {
      return T(*r);
    } else {
      return T{decltype(T{}.addr)(*r)};
    }
  }
};
template <class T>
  requires requires(T t) { t.n; }
struct Arg<T> {
  static constexpr size_t kRegs = 1;
  static T from(const uint64_t* r) { return {int32_t(*r)}; }
};
template <class T>
  requires requires(T t) { t.bits; }
struct Arg<T> {
  static constexpr size_t kRegs = 1;
  static T from(const uint64_t* r) { return {decltype(T::bits)(*r)}; }
};
template <class B>
  requires std::same_as<B, UserOut> || std::same_as<B, UserIn> || std::same_as<B, UserIov>
struct Arg<B> {
  static constexpr size_t kRegs = 2;
  static B from(const uint64_t* r) { return {r[0], r[1]}; }
};

}  // namespace usk
