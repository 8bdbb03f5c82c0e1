#include "image/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <span>
#include <utility>

namespace usk {
namespace {

using Wanted = std::pair<const char*, void**>;

// Once: a library stays loaded.
OrFailure<void> load(const char* soname, std::span<const Wanted> functions) {
  void* library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
  if (!library) return fail(fmt::format("this needs {}: {}", soname, dlerror()));
  for (auto [name, to] : functions) {
    *to = dlsym(library, name);
    if (!*to) return fail(fmt::format("{} has no {}", soname, name));
  }
  return {};
}

}  // namespace

OrFailure<const ArchiveLibrary*> archive_library() {
  static ArchiveLibrary library;
#define FUNCTION(name) {#name, reinterpret_cast<void**>(&library.name)},
  static const Wanted kFunctions[] = {
#include "image/libarchive.def"
  };
#undef FUNCTION
  static const OrFailure<void> loaded = load("libarchive.so.13", kFunctions);
  TRY(loaded);
  return &library;
}

OrFailure<const CryptoLibrary*> crypto_library() {
  static CryptoLibrary library;
#define FUNCTION(name) {#name, reinterpret_cast<void**>(&library.name)},
  static const Wanted kFunctions[] = {
#include "image/libcrypto.def"
  };
#undef FUNCTION
  static const OrFailure<void> loaded = load("libcrypto.so.3", kFunctions);
  TRY(loaded);
  return &library;
}

}  // namespace usk
