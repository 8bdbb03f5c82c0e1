// Pieces of host files that are read in order, and their digests.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"

namespace usk {

// `size` bytes of a host file.
struct Blob {
  Ref<HostFd> fd;
  uint64_t offset = 0, size = 0;
};

// Reads a blob once, from its beginning to its end, and hashes what it reads: what was looked at
// is what was verified, should the file change meanwhile.
class BlobReader {
 public:
  explicit BlobReader(Blob blob);
  ~BlobReader();
  BlobReader(BlobReader&&) noexcept;

  // "sha256:HEX" or "sha512:HEX" (OCI image-spec, descriptor.md). Before the first read.
  OrFailure<void> expect(const std::string& digest);
  // The next bytes, valid until the next call; empty at the end.
  OrFailure<std::span<const std::byte>> next();
  // Reads the rest; fails when the digest is another than was expected.
  OrFailure<void> verify();

 private:
  struct Hash;
  Blob blob_;
  uint64_t at_ = 0;
  std::vector<std::byte> buffer_;
  std::unique_ptr<Hash> hash_;  // Null: nothing is expected.
};

// All of a blob of at most `max` bytes, verified against `digest`.
OrFailure<std::string> read_blob(const Blob& blob, size_t max, const std::string& digest);

// Text of others for a message of ours: without control characters, and not long.
std::string shown(std::string_view text);

}  // namespace usk
