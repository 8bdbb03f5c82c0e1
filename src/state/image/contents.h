// The contents of host files that belong to the sandbox: memory files behind tmpfs and memfds, open
// files of the host that have no name any more. They lie in a part of their own, without holes.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "state/image/image.h"

namespace usk::state {

constexpr const char* kContentsPart = "contents";
constexpr const char* kContentsTable = "contents-table";

// A service of Writer. What it is to keep must not change until write() is done.
class ContentsWriter {
 public:
  // The number by which the file of these contents is found again; the same for the same file.
  uint64_t keep(const Ref<HostFd>& file);
  // Adds the two parts to the image.
  OrFailure<void> write(ImageWriter& image) const;
  uint64_t count() const { return files_.size(); }

 private:
  std::vector<Ref<HostFd>> files_;
  std::map<const HostFd*, uint64_t> numbers_;
};

// A service of Loader. Gives memory files, which are filled when they are asked for.
class ContentsReader {
 public:
  static OrFailure<ContentsReader> open(const Image& image);
  // The same file each time.
  OrFailure<Ref<HostFd>> file(uint64_t number);

 private:
  struct Extent {
    uint64_t offset, length;  // In the file.
    uint64_t at;              // In the part.
  };
  struct Entry {
    uint64_t size = 0;
    std::vector<Extent> extents;
    Ref<HostFd> file;
  };
  OrFailure<void> parse(std::string_view table, uint64_t part_size);
  Ref<HostFd> part_;
  std::vector<Entry> entries_;
};

}  // namespace usk::state
