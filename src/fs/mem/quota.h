// How much memory and how many files a file system of memory may hold.
#pragma once
#include <atomic>
#include <cstdint>

#include "base/failure.h"
#include "base/fields.h"
#include "base/ref.h"

namespace usk {

// Counts pages and inodes against limits, and against those of a quota above it (a sandbox's),
// if any. A limit of zero is none.
class MemQuota final : public RefCounted {
 public:
  MemQuota(uint64_t max_pages, uint64_t max_inodes, Ref<MemQuota> above = {})
      : max_pages_(max_pages), max_inodes_(max_inodes), above_(std::move(above)) {}

  explicit MemQuota(Blank) : max_pages_(0), max_inodes_(0) {}

  // False, and nothing is counted, when that is more than allowed.
  bool charge_pages(uint64_t n) {
    if (!charge(pages_, max_pages_, n)) return false;
    if (above_ ? above_->charge_pages(n) : charge(all_pages_, max_all_pages_, n)) return true;
    pages_.fetch_sub(n);
    return false;
  }
  void uncharge_pages(uint64_t n) {
    pages_.fetch_sub(n);
    above_ ? above_->uncharge_pages(n) : void(all_pages_.fetch_sub(n));
  }
  // Counts pages that exist already, whatever the limit: written through mappings.
  void force_pages(uint64_t n) {
    pages_.fetch_add(n);
    above_ ? above_->force_pages(n) : void(all_pages_.fetch_add(n));
  }
  bool charge_inode() {
    if (all_inodes_ >= max_all_inodes_ || !charge(inodes_, max_inodes_, 1)) return false;
    if (!above_ || above_->charge_inode()) return true;
    inodes_.fetch_sub(1);
    return false;
  }
  void uncharge_inode() {
    inodes_.fetch_sub(1);
    if (above_) above_->uncharge_inode();
  }

  // All quotas together, and limits on that. Inodes say themselves that they are there, and their
  // further names.
  static uint64_t all_pages() { return all_pages_; }
  static uint64_t all_inodes() { return all_inodes_; }
  static void count_inodes(int64_t n) { all_inodes_.fetch_add(uint64_t(n)); }
  static void limit_all_pages(uint64_t max) { max_all_pages_ = max; }
  static void limit_all_inodes(uint64_t max) { max_all_inodes_ = max; }

  uint64_t pages() const { return pages_; }
  uint64_t inodes() const { return inodes_; }
  uint64_t max_pages() const { return max_pages_; }
  uint64_t max_inodes() const { return max_inodes_; }
  // remount: false when more is in use already.
  bool set_limits(uint64_t max_pages, uint64_t max_inodes) {
    if ((max_pages && pages_ > max_pages) || (max_inodes && inodes_ > max_inodes)) return false;
    max_pages_ = max_pages;
    max_inodes_ = max_inodes;
    return true;
  }

  USK_FIELDS(max_pages_, max_inodes_, pages_, inodes_, above_)
  OrFailure<void> restored(state::Restored&);

 private:
  static bool charge(std::atomic<uint64_t>& used, uint64_t max, uint64_t n) {
    uint64_t now = used.load(std::memory_order_relaxed);
    do {
      if (max && (n > max || now > max - n)) return false;
    } while (!used.compare_exchange_weak(now, now + n));
    return true;
  }

  std::atomic<uint64_t> max_pages_, max_inodes_;
  std::atomic<uint64_t> pages_{0}, inodes_{0};
  Ref<MemQuota> above_;
  inline static std::atomic<uint64_t> all_pages_{0}, max_all_pages_{0};
  inline static std::atomic<uint64_t> all_inodes_{0}, max_all_inodes_{UINT64_MAX};
};

}  // namespace usk
