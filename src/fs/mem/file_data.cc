#include "fs/mem/file_data.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/lock.h"
#include "host/file.h"
#include "host/file_io.h"
#include "state/image/contents.h"
#include "state/saved.h"

namespace usk {
namespace {

constexpr uint64_t kPage = FileData::kPage;
uint64_t page_of(uint64_t offset) { return offset / kPage; }
uint64_t page_end(uint64_t offset) { return offset / kPage + (offset % kPage != 0); }

}  // namespace

// All memfds that hold contents. A mapping keeps its file, and so the FileData.
class FileData::Memfds {
 public:
  void add(Ref<HostFd> fd) {
    Lock lock(mu_);
    all_.insert(std::move(fd));
  }
  void remove(const Ref<HostFd>& fd) {
    Lock lock(mu_);
    all_.erase(fd);
  }
  uint64_t blocks() {
    uint64_t n = 0;
    Lock lock(mu_);
    for (const Ref<HostFd>& fd : all_) {
      if (auto st = host::stat_at(*fd, "")) n += st->stx_blocks;
    }
    return n;
  }

 private:
  struct ByAddress {
    bool operator()(const Ref<HostFd>& a, const Ref<HostFd>& b) const {
      return std::less<>()(a.get(), b.get());
    }
  };
  Mutex<Rank::kLeaf> mu_;
  std::set<Ref<HostFd>, ByAddress> all_ GUARDED_BY(mu_);
};

FileData::Memfds& FileData::memfds() {
  static Memfds& all = *new Memfds;  // Never destroyed: files may outlive statics.
  return all;
}

uint64_t FileData::memory_in_use() { return heap_pages_ * kPage + memfds().blocks() * 512; }

FileData::FileData(Ref<MemQuota> quota) : quota_(std::move(quota)) {}

FileData::FileData(Blank) {}

FileData::~FileData() {
  if (!quota_) return;
  quota_->uncharge_pages(pages());
  if (memfd_) memfds().remove(memfd_);
}

OrFailure<void> FileData::save(Saved& to, state::Services& services) const {
  if (memfd_) {
    using state::ContentsWriter;
    auto* writer = TRY(services.get<ContentsWriter>());
    // Who has mapped it writes unseen.
    const auto changes =
        mapped_ ? ContentsWriter::Changes::kUnknown : ContentsWriter::Changes::kTold;
    to.contents = writer->keep(memfd_, changes);
    if (mapped_) return {};
    writer->tell(*to.contents,
                 [this](Ref<state::FrozenContents> frozen) { frozen_ = std::move(frozen); });
    return {};
  }
  for (uint64_t i = 0; i < heap_.size(); i++) {
    if (!heap_[i]) continue;
    to.heap.emplace(i, std::string(reinterpret_cast<const char*>(heap_[i]->bytes.data()), kPage));
  }
  return {};
}

OrFailure<void> FileData::load(const Saved& from, state::Services& services) {
  if (size_ > kMaxSize) return fail("a file that is too large");
  if (!quota_) return fail("contents without a quota");
  if (from.contents) {
    memfd_ = TRY(TRY(services.get<state::ContentsReader>())->file(*from.contents));
    memfds().add(memfd_);
    return {};
  }
  if (mapped_) return fail("mapped, and not to be mapped");
  for (const auto& [i, page] : from.heap) {
    if (i >= kHeapMax / kPage || page.size() != kPage) return fail("a page that cannot be");
    if (heap_.size() <= i) heap_.resize(i + 1);
    heap_[i] = std::make_unique<Page>();
    memcpy(heap_[i]->bytes.data(), page.data(), kPage);
  }
  return {};
}

uint64_t FileData::pages() const {
  if (memfd_) return present_.count();
  return uint64_t(std::count_if(heap_.begin(), heap_.end(), [](auto& p) { return bool(p); }));
}

size_t FileData::read_heap(uint64_t offset, std::span<std::byte> dst) const {
  for (size_t done = 0; done < dst.size();) {
    const uint64_t at = offset + done;
    const size_t n = std::min<uint64_t>(kPage - at % kPage, dst.size() - done);
    const Page* page = page_of(at) < heap_.size() ? heap_[page_of(at)].get() : nullptr;
    if (page) {
      memcpy(dst.data() + done, page->bytes.data() + at % kPage, n);
    } else {
      memset(dst.data() + done, 0, n);
    }
    done += n;
  }
  return dst.size();
}

void FileData::write_heap(uint64_t offset, std::span<const std::byte> src) {
  for (size_t done = 0; done < src.size();) {
    const uint64_t at = offset + done;
    const size_t n = std::min<uint64_t>(kPage - at % kPage, src.size() - done);
    memcpy(heap_[page_of(at)]->bytes.data() + at % kPage, src.data() + done, n);
    done += n;
  }
}

Result<size_t> FileData::read(uint64_t offset, std::span<std::byte> dst) const {
  if (offset >= size_) return 0;
  dst = dst.first(std::min<uint64_t>(dst.size(), size_ - offset));
  if (!memfd_) return read_heap(offset, dst);
  return host::pread(*memfd_, dst, offset);
}

// Charges and makes the pages [first, last). Returns up to where the quota allowed it.
Result<uint64_t> FileData::make_present(uint64_t first, uint64_t last) {
  if (!memfd_) {
    if (heap_.size() < last) heap_.resize(last);
    for (uint64_t i = first; i < last; i++) {
      if (heap_[i]) continue;
      if (!quota_->charge_pages(1)) return i;
      heap_[i] = std::make_unique<Page>();
    }
    return last;
  }
  if (const uint64_t missing = present_.missing(first, last); missing == 0) return last;
  // All at once where that fits, else page by page up to the limit.
  if (quota_->charge_pages(present_.missing(first, last))) {
    present_.add(first, last);
    return last;
  }
  for (uint64_t i = first; i < last; i++) {
    if (!present_.missing(i, i + 1)) continue;
    if (!quota_->charge_pages(1)) return i;
    present_.add(i, i + 1);
  }
  return last;
}

Result<size_t> FileData::write(uint64_t offset, std::span<const std::byte> src) {
  if (src.empty()) return 0;
  if (offset >= kMaxSize) return Err(EFBIG);
  src = src.first(std::min<uint64_t>(src.size(), kMaxSize - offset));
  uint64_t end = offset + src.size();
  if (!memfd_ && end > kHeapMax) TRY(move_to_memfd());
  const uint64_t allowed = TRY(make_present(page_of(offset), page_end(end))) * kPage;
  if (allowed <= offset) return Err(ENOSPC);
  end = std::min(end, allowed);
  src = src.first(end - offset);
  size_t n = src.size();
  if (memfd_) {
    before_change(offset, src.size());
    n = TRY(host::pwrite(*memfd_, src, offset));
  } else {
    write_heap(offset, src);
  }
  size_ = std::max(size_, offset + n);
  return n;
}

Result<void> FileData::fill_from(const HostFd& from, uint64_t offset, uint64_t size) {
  CHECK(size_ == 0);
  if (!memfd_ && size > kHeapMax) TRY(move_to_memfd());
  if (TRY(make_present(0, page_end(size))) < page_end(size)) {
    drop_pages(0, UINT64_MAX);
    return Err(ENOSPC);
  }
  if (memfd_) {
    TRY(host::ftruncate(*memfd_, size));
    size_ = size;
    // Less, should the host's file have shrunk: the rest reads as zeros.
    TRY(host::copy_range(from, offset, *memfd_, 0, size));
    return {};
  }
  for (uint64_t at = 0; at < size;) {
    Page& page = *heap_[page_of(at)];
    const size_t want = std::min(kPage - at % kPage, size - at);
    const size_t n =
        TRY(host::pread(from, std::span(page.bytes).subspan(at % kPage, want), offset + at));
    if (n == 0) break;
    at += n;
  }
  size_ = size;
  return {};
}

void FileData::before_change(uint64_t offset, uint64_t length) {
  if (!frozen_) return;
  frozen_->before_change(offset, length);
  if (frozen_->is_over()) frozen_.reset();
}

void FileData::drop_pages(uint64_t first, uint64_t last) {
  uint64_t dropped = 0;
  if (memfd_) {
    dropped = present_.remove(first, last);
  } else {
    for (uint64_t i = first; i < std::min<uint64_t>(last, heap_.size()); i++) {
      dropped += heap_[i] != nullptr;
      heap_[i].reset();
    }
  }
  quota_->uncharge_pages(dropped);
}

// Clears bytes within one page that exists.
void FileData::zero_range(uint64_t offset, uint64_t end) {
  if (offset >= end || page_of(offset) >= heap_.size() || !heap_[page_of(offset)]) return;
  memset(heap_[page_of(offset)]->bytes.data() + offset % kPage, 0, end - offset);
}

Result<void> FileData::resize(uint64_t size) {
  if (size > kMaxSize) return Err(EFBIG);
  if (!memfd_ && size > kHeapMax) TRY(move_to_memfd());
  if (memfd_) {
    before_change(size, UINT64_MAX);
    TRY(host::ftruncate(*memfd_, size));
  } else if (size < size_ && size % kPage) {
    zero_range(size, page_end(size) * kPage);
  }
  if (size < size_) drop_pages(page_end(size), UINT64_MAX);
  if (!memfd_ && heap_.size() > page_end(size)) heap_.resize(page_end(size));
  size_ = size;
  return {};
}

Result<void> FileData::allocate(uint64_t offset, uint64_t length, bool keep_size) {
  const uint64_t end = offset + length;
  if (end < offset || end > kMaxSize) return Err(EFBIG);
  if (!memfd_ && end > kHeapMax) TRY(move_to_memfd());
  const uint64_t first = page_of(offset), last = page_end(end);
  if (memfd_) {
    const uint64_t fresh = present_.missing(first, last);
    if (!quota_->charge_pages(fresh)) return Err(ENOSPC);
    auto made = host::fallocate(*memfd_, keep_size ? FALLOC_FL_KEEP_SIZE : 0, offset, length);
    if (!made) {
      quota_->uncharge_pages(fresh);
      return Err(made.error());
    }
    present_.add(first, last);
  } else {
    const uint64_t before = pages();
    if (TRY(make_present(first, last)) < last) {
      // Linux: tmpfs takes back what it made. Only whole new pages can be told apart here when
      // there were none; else the file keeps them, within the quota.
      if (before == 0) drop_pages(first, last);
      return Err(ENOSPC);
    }
  }
  if (!keep_size) size_ = std::max(size_, end);
  return {};
}

Result<void> FileData::punch(uint64_t offset, uint64_t length) {
  const uint64_t end = std::min(offset + length, kMaxSize);
  if (memfd_) {
    before_change(offset, end - offset);
    TRY(host::fallocate(*memfd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, end - offset));
  } else if (page_of(offset) == page_of(end)) {
    zero_range(offset, end);
  } else {
    zero_range(offset, page_end(offset) * kPage);
    zero_range(page_of(end) * kPage, end);
  }
  if (page_end(offset) < page_of(end)) drop_pages(page_end(offset), page_of(end));
  return {};
}

Result<uint64_t> FileData::seek_data(uint64_t offset) {
  if (offset >= size_) return Err(ENXIO);
  if (memfd_) return host::lseek(*memfd_, int64_t(offset), SEEK_DATA);
  for (uint64_t i = page_of(offset); i < std::min<uint64_t>(heap_.size(), page_end(size_)); i++) {
    if (heap_[i]) return std::max(offset, i * kPage);
  }
  return Err(ENXIO);
}

Result<uint64_t> FileData::seek_hole(uint64_t offset) {
  if (offset >= size_) return Err(ENXIO);
  if (memfd_) return host::lseek(*memfd_, int64_t(offset), SEEK_HOLE);
  for (uint64_t i = page_of(offset); i < page_end(size_); i++) {
    if (i >= heap_.size() || !heap_[i]) return std::max(offset, i * kPage);
  }
  return size_;
}

Result<void> FileData::move_to_memfd() {
  Result<UniqueFd> fd = host::memory_file("usk-file");
  if (!fd) return Err(ENOSPC);  // The host is out of descriptors or memory: no room for more.
  auto made = make_ref<HostFd>(*std::move(fd));
  TRY(host::ftruncate(*made, size_));
  PageSet present;
  for (uint64_t i = 0; i < heap_.size(); i++) {
    if (!heap_[i]) continue;
    const uint64_t at = i * kPage;
    if (at < size_) {
      const size_t n = std::min(kPage, size_ - at);
      TRY(host::pwrite(*made, std::span(heap_[i]->bytes).first(n), at));
    } else {
      TRY(host::fallocate(*made, FALLOC_FL_KEEP_SIZE, at, kPage));
    }
    present.add(i, i + 1);
  }
  memfd_ = std::move(made);
  memfds().add(memfd_);
  present_ = std::move(present);
  heap_.clear();
  heap_.shrink_to_fit();
  return {};
}

Result<Ref<HostFd>> FileData::host_file() {
  if (!memfd_) TRY(move_to_memfd());
  before_change(0, UINT64_MAX);
  mapped_ = true;
  return memfd_;
}

void FileData::sync_pages() {
  if (!memfd_ || !mapped_) return;
  auto st = host::stat_at(*memfd_, "");
  if (!st) return;
  // Which pages were made through a mapping is not told; how many is. Find them.
  if (st->stx_blocks / (kPage / 512) <= present_.count()) return;
  for (uint64_t at = 0; at < size_;) {
    auto data = host::lseek(*memfd_, int64_t(at), SEEK_DATA);
    if (!data) return;
    auto hole = host::lseek(*memfd_, int64_t(*data), SEEK_HOLE);
    if (!hole) return;
    const uint64_t first = page_of(*data), last = page_end(*hole);
    quota_->force_pages(present_.missing(first, last));
    present_.add(first, last);
    at = *hole;
  }
}

}  // namespace usk
