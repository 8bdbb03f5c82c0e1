#include "platform/trap/area_pool.h"

#include <fmt/format.h>

#include <cstring>

#include "host/file_io.h"
#include "host/shared_memory.h"

namespace usk::platform {

OrFailure<AreaPool> AreaPool::make() {
  AreaPool p;
  auto file = host::memory_file("usk-areas", /*executable=*/true);
  if (!file) return fail("cannot make a memory file for the stubs");
  p.file_ = std::move(*file);
  auto base = host::map_shared(p.file_.get(), kSize);
  if (!base)
    return fail(fmt::format("cannot map the stubs' areas: {}", strerror(int(base.error()))));
  p.base_ = *base;
  return p;
}

AreaPool::AreaPool(AreaPool&& o) noexcept
    : file_(std::move(o.file_)),
      base_(std::exchange(o.base_, nullptr)),
      free_(std::move(o.free_)),
      next_(o.next_) {}

AreaPool::~AreaPool() {
  if (base_) host::unmap_shared(base_, kSize);
}

std::optional<uint32_t> AreaPool::take_block() {
  if (!free_.empty()) {
    const uint32_t block = free_.back();
    free_.pop_back();
    reused_++;
    return block;
  }
  if (next_ == kBlocks) return std::nullopt;
  return next_++;
}

// What one guest process left there is nothing for the next.
void AreaPool::release_block(uint32_t block, uint32_t used) {
  for (uint32_t i = 0; i < used; i++) {
    memset(static_cast<void*>(&area(block * USK_AREAS_PER_BLOCK + i)), 0, USK_AREA_SIZE);
  }
  free_.push_back(block);
}

trap::Area& AreaPool::area(uint32_t index) {
  return *reinterpret_cast<trap::Area*>(base_ + USK_FILE_AREAS + size_t(index) * USK_AREA_SIZE);
}

std::span<std::byte> AreaPool::buffer(uint32_t index) {
  return {reinterpret_cast<std::byte*>(&area(index)) + USK_AREA_BUFFER, USK_AREA_BUFFER_SIZE};
}

}  // namespace usk::platform
