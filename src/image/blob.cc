#include "image/blob.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <array>
#include <vector>

#include "host/file.h"
#include "image/libraries.h"

namespace usk {
namespace {

constexpr size_t kChunk = 256 << 10;

struct Algorithm {
  std::string_view prefix;
  size_t hex;
  decltype(&EVP_sha256) CryptoLibrary::* make;
};
constexpr std::array<Algorithm, 2> kAlgorithms{
    {{"sha256:", 64, &CryptoLibrary::EVP_sha256}, {"sha512:", 128, &CryptoLibrary::EVP_sha512}}};

}  // namespace

struct BlobReader::Hash {
  const CryptoLibrary& lib;
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context{lib.EVP_MD_CTX_new(),
                                                                  lib.EVP_MD_CTX_free};
  std::string want{};  // In hexadecimal digits.
};

BlobReader::BlobReader(Blob blob) : blob_(std::move(blob)) {}
BlobReader::~BlobReader() = default;
BlobReader::BlobReader(BlobReader&&) noexcept = default;

OrFailure<void> BlobReader::expect(const std::string& digest) {
  for (const Algorithm& a : kAlgorithms) {
    if (!digest.starts_with(a.prefix)) continue;
    auto hash = std::make_unique<Hash>(*TRY(crypto_library()));
    hash->want = digest.substr(a.prefix.size());
    if (hash->want.size() != a.hex ||
        hash->want.find_first_not_of("0123456789abcdef") != std::string::npos) {
      break;
    }
    if (!hash->context ||
        !hash->lib.EVP_DigestInit_ex(hash->context.get(), (hash->lib.*a.make)(), nullptr)) {
      return fail("the digest cannot be computed");
    }
    hash_ = std::move(hash);
    return {};
  }
  return fail(fmt::format("{} is no sha256 or sha512 digest", shown(digest)));
}

OrFailure<std::span<const std::byte>> BlobReader::next() {
  buffer_.resize(std::min<uint64_t>(kChunk, blob_.size - at_));
  if (buffer_.empty()) return std::span<const std::byte>();
  auto n = host::pread(*blob_.fd, buffer_, blob_.offset + at_);
  if (!n) return fail(strerror(int(n.error())));
  if (*n == 0) return fail("the file became shorter");
  at_ += *n;
  if (hash_ && !hash_->lib.EVP_DigestUpdate(hash_->context.get(), buffer_.data(), *n)) {
    return fail("the digest cannot be computed");
  }
  return std::span<const std::byte>(buffer_).first(*n);
}

OrFailure<void> BlobReader::verify() {
  while (!TRY(next()).empty()) {
  }
  if (!hash_) return {};
  std::array<unsigned char, EVP_MAX_MD_SIZE> got;
  unsigned size = 0;
  if (!hash_->lib.EVP_DigestFinal_ex(hash_->context.get(), got.data(), &size)) {
    return fail("the digest cannot be computed");
  }
  std::string hex;
  for (unsigned i = 0; i < size; i++) hex += fmt::format("{:02x}", got[i]);
  if (hex != hash_->want) {
    return fail(
        fmt::format("its contents are damaged: the digest is {}, not {}", hex, hash_->want));
  }
  return {};
}

OrFailure<std::string> read_blob(const Blob& blob, size_t max, const std::string& digest) {
  if (blob.size > max) return fail(fmt::format("it has more than {} bytes", max));
  BlobReader reader(blob);
  if (!digest.empty()) TRY(reader.expect(digest));
  std::string text;
  for (;;) {
    const auto bytes = TRY(reader.next());
    if (bytes.empty()) break;
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  TRY(reader.verify());
  return text;
}

std::string shown(std::string_view text) {
  constexpr size_t kMost = 200;
  std::string out;
  for (const char c : text.substr(0, kMost)) out += c < 32 || c == 127 ? '?' : c;
  return out;
}

}  // namespace usk
