// libarchive and libcrypto, loaded when the first archive is read: with what they need in turn they
// are most of the libraries that the command would load at each start (docs/decisions/0006).
#pragma once
#include <archive.h>
#include <archive_entry.h>
#include <locale.h>
#include <openssl/evp.h>

#include "base/failure.h"
#include "base/result.h"

namespace usk {

// Functions by their own names.
struct ArchiveLibrary {
#define FUNCTION(name) decltype(&::name) name = nullptr;
#include "image/libarchive.def"
#undef FUNCTION
};
struct CryptoLibrary {
#define FUNCTION(name) decltype(&::name) name = nullptr;
#include "image/libcrypto.def"
#undef FUNCTION
};

// Fails where the host does not have the library, in the version that was built for.
OrFailure<const ArchiveLibrary*> archive_library();
OrFailure<const CryptoLibrary*> crypto_library();
// C.UTF-8, made once; null where the host does not have it.
locale_t utf8_locale();
// Loads them, and what they load at their first use in turn. What fails is told of then.
void prepare_archive_library();
void prepare_crypto_library();

}  // namespace usk
