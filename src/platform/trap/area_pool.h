// The memory file that the kernel process and all stubs share: one policy page and the thread
// areas. A stub process maps only the blocks of areas that are its own.
#pragma once
#include <atomic>
#include <optional>
#include <span>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"
#include "platform/trap/area.h"

namespace usk::platform {

class AreaPool {
 public:
  static constexpr uint32_t kBlocks = 8192;

  static OrFailure<AreaPool> make();
  AreaPool(AreaPool&& o) noexcept;
  ~AreaPool();

  // Blocks of USK_AREAS_PER_BLOCK areas, zeroed. Nothing: all are in use.
  std::optional<uint32_t> take_block();
  uint64_t reused() const { return reused_; }  // How many blocks were taken again.
  // No process maps it any more; its first `used` areas were in use.
  void release_block(uint32_t block, uint32_t used);

  trap::Area& area(uint32_t index);
  std::span<std::byte> buffer(uint32_t index);
  // A slot of the table and its thunk.
  uint64_t& slot(uint32_t number) {
    return reinterpret_cast<uint64_t*>(base_ + USK_FILE_TABLE)[number];
  }
  std::span<std::byte> thunk(uint32_t number) {
    return {base_ + USK_FILE_THUNKS + size_t(number) * USK_THUNK_SIZE, USK_THUNK_SIZE};
  }
  // Of the thread whose area it is: it has an order, which it might not have seen when it looked
  // last before it sleeps.
  void ring(uint32_t index) { std::atomic_ref(bell(index)).fetch_add(1); }
  uint32_t& bell(uint32_t index) { return policy().bells[index % trap::kBells]; }
  trap::Policy& policy() { return *reinterpret_cast<trap::Policy*>(base_); }
  int fd() const { return file_.get(); }
  static uint64_t file_offset(uint32_t block) {
    return USK_FILE_AREAS + uint64_t(block) * USK_BLOCK_SIZE;
  }

 private:
  AreaPool() = default;
  static constexpr size_t kSize = USK_FILE_AREAS + size_t(kBlocks) * USK_BLOCK_SIZE;

  UniqueFd file_;
  std::byte* base_ = nullptr;
  std::vector<uint32_t> free_;  // Given back; blocks from next_ on were never used.
  uint32_t next_ = 0;
  uint64_t reused_ = 0;
};

}  // namespace usk::platform
