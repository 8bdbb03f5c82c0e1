// eventfd(2)
#pragma once
#include "fs/anon/anon_file.h"

namespace usk {

// A 64-bit counter. Reading waits for it to be nonzero and takes it (or one, as a semaphore);
// writing adds to it and waits while the sum would reach 2^64-1.
class EventFd final : public AnonFile {
 public:
  EventFd(uint64_t count, bool semaphore, int flags, Ref<const Creds> creds);

  explicit EventFd(Blank b) : AnonFile(b), semaphore_(false), id_(0), count_(0) {}

  Result<size_t> read(IoOut& dst, uint64_t& pos) override EXCLUDES(mu_);
  Result<size_t> write(IoIn& src, uint64_t& pos) override EXCLUDES(mu_);
  PollMask poll() override EXCLUDES(mu_);
  std::string fdinfo() const override EXCLUDES(mu_);
  // Adds from inside the kernel (asynchronous I/O); stops one short of overflow.
  void signal(uint64_t n) EXCLUDES(mu_);

  USK_FIELDS_OF(File, semaphore_, id_, count_)

 private:
  bool semaphore_;
  int id_;
  mutable Mutex<Rank::kFile> mu_;
  uint64_t count_ GUARDED_BY(mu_);
};

}  // namespace usk
