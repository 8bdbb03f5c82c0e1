// Robust futexes: set_robust_list(2), and the kernel's documentation of the list.
#include <linux/futex.h>

#include <array>
#include <cstring>
#include <optional>

#include "kernel/futex/futex.h"
#include "kernel/kernel.h"

namespace usk {
namespace {

constexpr int kMaxEntries = 2048;  // Linux: ROBUST_LIST_LIMIT

struct ListHead {
  uint64_t next;
  int64_t futex_offset;
  uint64_t pending;
};

// Reads along a list, page by page: it may have thousands of entries, and be a ring.
class Pages {
 public:
  explicit Pages(UserMemory mem) : mem_(mem) {}
  template <class T>
  Result<T> get(uint64_t addr) {
    const uint64_t page = addr & ~(platform::kPageSize - 1), offset = addr - page;
    if (offset > platform::kPageSize - sizeof(T)) return mem_.get(UserPtr<const T>{addr});
    if (page != page_) {
      page_.reset();
      TRY(mem_.copy_in(bytes_, page));
      page_ = page;
    }
    T value;
    memcpy(&value, &bytes_[offset], sizeof value);
    return value;
  }

 private:
  UserMemory mem_;
  std::optional<uint64_t> page_;  // Whose bytes these are.
  std::array<std::byte, platform::kPageSize> bytes_;
};

// The owner of this word died: says so in the word and wakes a waiter.
void owner_died(Task& t, uint64_t addr, bool pi, bool pending) {
  UserMemory mem = t.mem();
  if (addr % 4) return;
  auto word = mem.get(UserPtr<const uint32_t>{addr});
  while (word) {
    const uint32_t old = *word;
    if (pending && !pi && old == 0) {  // Died between unlock and wake.
      wake_futex(t, addr, 1);
      return;
    }
    if ((old & FUTEX_TID_MASK) != uint32_t(t.tid())) return;
    const uint32_t next = (old & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    auto seen = mem.compare_exchange(addr, old, next);
    if (!seen) return;
    if (*seen != old) {
      word = *seen;
      continue;
    }
    if (old & FUTEX_WAITERS) wake_futex(t, addr, 1);
    return;
  }
}

// Nobody but the task itself makes it the owner of a word, and it makes no calls any more.
bool may_own(Task& t, Pages& words, uint64_t addr) {
  const auto word = words.get<uint32_t>(addr);
  return word && (*word & FUTEX_TID_MASK) == uint32_t(t.tid());
}

}  // namespace

void leave_futexes(Task& t) {
  if (t.futex) {
    futexes().dequeue(*t.futex);
    t.futex.reset();
  }
  if (!t.robust_list) return;
  UserMemory mem = t.mem();
  auto head = mem.get(UserPtr<const ListHead>{t.robust_list});
  const uint64_t list = std::exchange(t.robust_list, 0);
  if (!head) return;
  const uint64_t pending = head->pending & ~1ull;
  uint64_t entry = head->next;
  Pages entries(mem), words(mem);
  for (int i = 0; i < kMaxEntries && (entry & ~1ull) != list && (entry & ~1ull); i++) {
    const uint64_t at = entry & ~1ull;
    const bool pi = entry & 1;
    auto next = entries.get<uint64_t>(at);  // Before the waiter may free it.
    const uint64_t word = at + uint64_t(head->futex_offset);
    if (at != pending && may_own(t, words, word)) owner_died(t, word, pi, false);
    if (!next) break;
    entry = *next;
  }
  if (pending) owner_died(t, pending + uint64_t(head->futex_offset), head->pending & 1, true);
}

}  // namespace usk
