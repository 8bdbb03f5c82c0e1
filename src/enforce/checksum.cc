#include "enforce/checksum.h"

#include <fmt/format.h>

#include <memory>
#include <span>
#include <vector>

#include "base/io.h"
#include "image/libraries.h"

namespace usk {
namespace {

class Digest {
 public:
  Digest(const CryptoLibrary& crypto, const std::string& algorithm)
      : crypto_(crypto), context_(crypto.EVP_MD_CTX_new(), crypto.EVP_MD_CTX_free) {
    const EVP_MD* kind = algorithm == "sha512" ? crypto.EVP_sha512() : crypto.EVP_sha256();
    ok_ = context_ && crypto.EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1;
  }
  void add(std::span<const std::byte> bytes) {
    ok_ = ok_ && crypto_.EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }
  // Empty: it failed.
  std::string finish() {
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    ok_ = ok_ && crypto_.EVP_DigestFinal_ex(context_.get(), sum, &length) == 1;
    std::string out;
    for (unsigned i = 0; ok_ && i < length; i++) out += fmt::format("{:02x}", sum[i]);
    return out;
  }

 private:
  const CryptoLibrary& crypto_;
  std::unique_ptr<EVP_MD_CTX, decltype(CryptoLibrary::EVP_MD_CTX_free)> context_;
  bool ok_;
};

}  // namespace

OrFailure<void> prepare_checksums() {
  const CryptoLibrary* crypto = TRY(crypto_library());
  for (const char* algorithm : {"sha256", "sha512"}) {
    if (Digest(*crypto, algorithm).finish().empty()) {
      return fail("libcrypto cannot compute a checksum");
    }
  }
  return {};
}

OrFailure<std::string> sha256(std::string_view text) {
  Digest digest(*TRY(crypto_library()), "sha256");
  digest.add(std::as_bytes(std::span(text)));
  std::string sum = digest.finish();
  if (sum.empty()) return fail("libcrypto cannot compute a checksum");
  return sum;
}

Result<std::string> checksum_of(File& file, const std::string& algorithm) {
  const auto crypto = crypto_library();
  if (!crypto) return Err(ENOSYS);
  Digest digest(**crypto, algorithm);
  std::vector<std::byte> piece(1 << 16);
  for (uint64_t pos = 0;;) {
    KernelOut out(piece);
    const size_t n = TRY(file.read(out, pos));
    if (n == 0) break;
    digest.add(std::span(piece).first(n));
  }
  std::string sum = digest.finish();
  if (sum.empty()) return Err(EIO);
  return sum;
}

}  // namespace usk
