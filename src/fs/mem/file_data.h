// The contents of a file that lives in memory.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/failure.h"
#include "base/fields.h"
#include "base/ref.h"
#include "base/result.h"
#include "fs/mem/page_set.h"
#include "fs/mem/quota.h"
#include "host/host_fd.h"

namespace usk {

namespace state {
class FrozenContents;
}

// Sparse bytes with a size. Small files are pages on the heap; at kHeapMax bytes, or when it is
// mapped, the contents move to a memfd of the host. Pages are charged to the quota as they come
// to exist: ENOSPC. Not locked: the inode that owns it is.
class FileData {
 public:
  static constexpr uint64_t kPage = 4096;
  static constexpr uint64_t kHeapMax = 64 << 10;
  static constexpr uint64_t kMaxSize = INT64_MAX;

  explicit FileData(Ref<MemQuota> quota);
  explicit FileData(Blank);
  ~FileData();
  FileData(const FileData&) = delete;

  uint64_t size() const { return size_; }
  uint64_t pages() const;  // That exist.
  // Bytes from `offset` on, as many as there are up to dst.size().
  Result<size_t> read(uint64_t offset, std::span<std::byte> dst) const;
  // All of src, or less when the quota ends within (ENOSPC when at once), growing the file.
  Result<size_t> write(uint64_t offset, std::span<const std::byte> src);
  Result<void> resize(uint64_t size);
  // Makes the contents, of which there are none yet, the first `size` bytes of a host file.
  Result<void> fill_from(const HostFd& from, uint64_t offset, uint64_t size);
  // fallocate(2): makes [offset, end) exist (growing unless keep_size), or makes it a hole.
  Result<void> allocate(uint64_t offset, uint64_t length, bool keep_size);
  Result<void> punch(uint64_t offset, uint64_t length);
  // lseek(2) SEEK_DATA, SEEK_HOLE: ENXIO from `offset` >= size.
  Result<uint64_t> seek_data(uint64_t offset);
  Result<uint64_t> seek_hole(uint64_t offset);
  // The host file that holds the contents, for mmap(2) and for copies within the host.
  Result<Ref<HostFd>> host_file();
  // Whether it was handed out: pages may come to exist unseen, and are counted by sync_pages().
  bool is_mapped() const { return mapped_; }
  void sync_pages();

  // What the contents of all files hold of the host's memory, in bytes; written through mappings or
  // not.
  static uint64_t memory_in_use();
  static uint64_t heap_in_use() { return heap_pages_ * kPage; }  // Of the process's own.

  // Pages of the heap are saved here, those of a memfd beside the state (state/image/contents.h).
  template <class A>
  void fields(A& ar) {
    Saved saved;
    if constexpr (SavesState<A>) {
      if (auto done = save(saved, ar.services()); !done) ar.fail(done.error().message);
    }
    ar.all("size_, saved_, present_, mapped_, quota_", size_, saved, present_, mapped_, quota_);
    if constexpr (A::kLoading) {
      if (ar.failed()) return;
      if (auto done = load(saved, ar.services()); !done) ar.fail(done.error().message);
    }
  }

 private:
  struct Page {
    Page() { heap_pages_++; }
    ~Page() { heap_pages_--; }
    std::array<std::byte, kPage> bytes{};
  };
  inline static std::atomic<uint64_t> heap_pages_{0};
  class Memfds;
  struct Saved {
    std::map<uint64_t, std::string> heap;  // Page number -> page.
    std::optional<uint64_t> contents;      // Of the memfd.
    USK_FIELDS(heap, contents)
  };
  OrFailure<void> save(Saved& to, state::Services& services) const;
  OrFailure<void> load(const Saved& from, state::Services& services);
  static Memfds& memfds();
  Result<void> move_to_memfd();
  Result<uint64_t> make_present(uint64_t first, uint64_t last);
  size_t read_heap(uint64_t offset, std::span<std::byte> dst) const;
  void write_heap(uint64_t offset, std::span<const std::byte> src);
  void drop_pages(uint64_t first, uint64_t last);
  void zero_range(uint64_t offset, uint64_t end);
  // Contents of the memfd are about to change, which an image may still be written of.
  void before_change(uint64_t offset, uint64_t length);

  uint64_t size_ = 0;
  std::vector<std::unique_ptr<Page>> heap_;  // Of a file not in a memfd.
  Ref<HostFd> memfd_;
  PageSet present_;  // Pages of the memfd that exist, as far as we made them.
  bool mapped_ = false;
  Ref<MemQuota> quota_;
  mutable Ref<state::FrozenContents> frozen_;  // Null: no image is written.
};

}  // namespace usk
