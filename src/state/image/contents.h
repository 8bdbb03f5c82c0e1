// The contents of host files that belong to the sandbox: memory files behind tmpfs and memfds, open
// files of the host that have no name any more. They lie in a part of their own, without holes.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <unordered_set>
#include <vector>

#include "base/lock.h"
#include "base/ref.h"
#include "state/image/image.h"

namespace usk::state {

constexpr const char* kContentsPart = "contents";
constexpr const char* kContentsTable = "contents-table";

struct ContentsRange {
  uint64_t offset, length;
};

// A file as it is at one moment, though it goes on changing: whoever changes it says so before, and
// what was there is put aside until it is written.
class FrozenContents final : public RefCounted {
 public:
  // Before [offset, offset + length) changes ...
  void before_change(uint64_t offset, uint64_t length) EXCLUDES(mu_);
  // ... or somebody gets the file who says nothing.
  void before_sharing() { before_change(0, size_); }
  // Nobody reads it any more.
  bool is_over() const { return over_.load(std::memory_order_relaxed); }

 private:
  friend class ContentsWriter;
  static constexpr uint64_t kUnit = 64 << 10;
  static OrFailure<Ref<FrozenContents>> make(Ref<HostFd> file);
  FrozenContents(Ref<HostFd> file, uint64_t size) : file_(std::move(file)), size_(size) {}
  OrFailure<void> read(uint64_t offset, std::span<std::byte> to) EXCLUDES(mu_);
  // What lies before is not read again.
  void pass(uint64_t offset) EXCLUDES(mu_);
  Result<void> put_aside(uint64_t unit) REQUIRES(mu_);
  // The first range that ends behind `offset`.
  size_t first_range(uint64_t offset) const;

  const Ref<HostFd> file_;
  const uint64_t size_;
  std::vector<ContentsRange> ranges_;  // Where there is data.
  std::atomic<bool> over_ = false;
  Mutex<Rank::kLeaf> mu_;
  Ref<HostFd> aside_ GUARDED_BY(mu_);  // Null: nothing was put aside.
  std::unordered_set<uint64_t> units_aside_ GUARDED_BY(mu_);
  uint64_t passed_ GUARDED_BY(mu_) = 0;
  Errno error_ GUARDED_BY(mu_){};  // Of what could not be put aside.
};

// A service of Writer.
class ContentsWriter {
 public:
  ContentsWriter() = default;
  ~ContentsWriter();
  ContentsWriter(const ContentsWriter&) = delete;

  // Who changes a file while it is written.
  enum class Changes { kUnknown, kTold, kNever };
  // The number by which the file of these contents is found again; the same for the same file.
  uint64_t keep(const Ref<HostFd>& file, Changes changes = Changes::kUnknown);
  // For who says kTold: what is to be told, once begin() has come.
  using Take = std::function<void(Ref<FrozenContents>)>;
  void tell(uint64_t number, Take take);

  // Adds the two parts to the image. With `behind`, files may change afterwards: of those of which
  // nobody tells a copy is made.
  OrFailure<void> begin(ImageWriter& image, bool behind);
  // Writes about so many bytes. True: there is more.
  OrFailure<bool> write_some(uint64_t most);
  // Both.
  OrFailure<void> write(ImageWriter& image);
  uint64_t count() const { return files_.size(); }

 private:
  struct Kept {
    Ref<HostFd> file;
    Changes changes;
    Take take;
    Ref<FrozenContents> frozen;
  };
  std::vector<Kept> files_;
  std::map<const HostFd*, uint64_t> numbers_;
  PartWriter* part_ = nullptr;
  size_t file_ = 0, range_ = 0;  // The next to be written, ...
  uint64_t done_ = 0;            // ... without so many bytes.
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
