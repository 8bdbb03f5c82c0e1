// Images that have only what is new: pages that an earlier image, the base, has as well are
// referred to.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"

namespace usk::state {

constexpr size_t kPageSize = 4096;

// Which bytes of a part come from where, from its beginning to its end.
class PageMap {
 public:
  struct Run {
    uint64_t length;
    bool from_base;   // Else from the part's own file.
    uint64_t offset;  // In it.
  };
  void add(uint64_t length, bool from_base, uint64_t offset);
  const std::vector<Run>& runs() const { return runs_; }
  uint64_t size() const { return size_; }

  // CBOR: an array of [length, whether from the base, offset].
  std::string encode() const;
  // Of a part whose own file and base have so many bytes.
  static OrFailure<PageMap> decode(std::string_view bytes, uint64_t own, uint64_t base);

 private:
  std::vector<Run> runs_;
  uint64_t size_ = 0;
};

// Pages by what is in them: XXH3, 128 bits. Who makes up pages of the same value only spoils the
// image of his own sandbox.
class PageIndex {
 public:
  struct Hash {
    uint64_t low, high;
    bool operator==(const Hash&) const = default;
  };
  static Hash hash(std::span<const std::byte> page);

  // The hashes of all pages of a file, one after the other, as a memory file.
  static OrFailure<Ref<HostFd>> of(const HostFd& file);
  // What of() gave.
  static OrFailure<PageIndex> read(const HostFd& hashes);
  // Where there is such a page.
  std::optional<uint64_t> find(std::span<const std::byte> page) const;

  // One that grows with an image: room for so many pages, so that adding them takes no time.
  void reserve(uint64_t pages);
  void add(const Hash& page, uint64_t place);

 private:
  struct Slot {
    Hash page;
    uint64_t next;  // The place behind it; 0: free.
  };
  // Where it is, or belongs.
  size_t slot_of(const Hash& page) const;
  std::vector<Slot> slots_;  // As many as a power of two, at most two thirds of them taken.
  size_t taken_ = 0;
};

// What one learns of an image while it is written.
struct ImageNotes {
  std::string checksum;           // Of its manifest.
  uint64_t fresh = 0, found = 0;  // Bytes of pages that it has itself; that it only refers to.
  PageIndex pages;                // Of an image that refers to no other.
};

}  // namespace usk::state
