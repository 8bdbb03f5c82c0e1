// Memory of an image that is compressed or refers to another one: the sandbox runs on from it while
// its pages are unpacked behind it, those first that something waits for.
#pragma once
#include <memory>

#include "base/failure.h"
#include "mm/page_source.h"
#include "mm/range_set.h"
#include "state/image/image.h"
#include "state/image/part_reader.h"

namespace usk {

class UnpackedPages final : public PageSource {
 public:
  // Null: the part is to be mapped as it is.
  static OrFailure<Ref<UnpackedPages>> make(const state::Image& image, std::string_view part);
  // Where pages come to lie, for reading.
  const Ref<HostFd>& file() const { return readonly_; }
  uint64_t size() const { return reader_->size(); }

  bool has(uint64_t at, uint64_t length) override;
  Result<void> wait_for(uint64_t at, uint64_t length) override;
  // Unpacks a little more of what was asked for by has(). True: there is more.
  OrFailure<bool> step();

 private:
  UnpackedPages(std::string part, std::unique_ptr<state::PartReader> reader)
      : part_(std::move(part)), reader_(std::move(reader)) {}
  OrFailure<void> unpack(uint64_t from, uint64_t to);

  const std::string part_;
  const std::unique_ptr<state::PartReader> reader_;
  Ref<HostFd> file_, readonly_;
  RangeSet there_, wanted_;
  OrFailure<void> failed_;  // What was damaged.
};

}  // namespace usk
