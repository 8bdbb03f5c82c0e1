#include "image/libraries.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <iconv.h>

#include <memory>
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

locale_t utf8_locale() {
  static const locale_t locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

void prepare_archive_library() {
  (void)utf8_locale();
  if (!archive_library()) return;
  // Conversions of names.
  if (const iconv_t c = iconv_open("UTF-8", "UTF-8"); c != iconv_t(-1)) iconv_close(c);
}

void prepare_crypto_library() {
  auto library = crypto_library();
  if (!library) return;
  const CryptoLibrary& l = **library;
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(l.EVP_MD_CTX_new(),
                                                                        l.EVP_MD_CTX_free);
  if (context) (void)l.EVP_DigestInit_ex(context.get(), l.EVP_sha256(), nullptr);
}

}  // namespace usk
