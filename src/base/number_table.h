// From numbers to pointers, for very many of them.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace usk {

// Numbers and pointers lie in the table itself: to look one up takes one line of the cache, where
// a table of nodes takes two or three, and to grow touches nothing else. Four numbers in a row
// share a line, for that is how inodes of one directory are numbered. A pointer that is null is
// no entry.
template <class T>
class NumberTable {
 public:
  T* find(uint64_t key) const {
    if (lines_.empty()) return nullptr;
    return slot(place_of(key)).value;
  }
  // Sets what `key` stands for, which is not null.
  void set(uint64_t key, T* value) {
    if ((size_ + 1) * 3 > capacity() * 2) resize(lines_.empty() ? 4 : lines_.size() * 2);
    Slot& s = slot(place_of(key));
    if (!s.value) size_++;
    s = {key, value};
  }
  void erase(uint64_t key) {
    if (lines_.empty()) return;
    size_t hole = place_of(key);
    if (!slot(hole).value) return;
    // Those behind it that would be looked for from here or before move up.
    for (size_t i = next(hole); slot(i).value; i = next(i)) {
      const size_t home = home_of(slot(i).key);
      if (distance(home, i) >= distance(hole, i)) slot(hole) = slot(i), hole = i;
    }
    slot(hole) = {};
    size_--;
    if (lines_.size() > 4 && size_ * 8 < capacity()) resize(lines_.size() / 2);
  }
  size_t size() const { return size_; }
  template <class F>
  void for_each(F f) const {
    for (const Line& line : lines_) {
      for (const Slot& s : line.slots) {
        if (s.value) f(s.key, *s.value);
      }
    }
  }

 private:
  static constexpr size_t kPerLine = 4;
  struct Slot {
    uint64_t key = 0;
    T* value = nullptr;
  };
  struct alignas(64) Line {
    Slot slots[kPerLine];
  };

  size_t capacity() const { return lines_.size() * kPerLine; }
  Slot& slot(size_t i) { return lines_[i / kPerLine].slots[i % kPerLine]; }
  const Slot& slot(size_t i) const { return lines_[i / kPerLine].slots[i % kPerLine]; }
  size_t next(size_t i) const { return (i + 1) & (capacity() - 1); }
  size_t distance(size_t from, size_t to) const { return (to - from) & (capacity() - 1); }
  size_t home_of(uint64_t key) const {
    const uint64_t mixed = (key / kPerLine) * 0x9e3779b97f4a7c15;
    const size_t line = mixed >> (64 - std::countr_zero(lines_.size()));
    return line * kPerLine + key % kPerLine;
  }
  // Where `key` is, or would be put.
  size_t place_of(uint64_t key) const {
    size_t i = home_of(key);
    while (slot(i).value && slot(i).key != key) i = next(i);
    return i;
  }
  void resize(size_t lines) {
    std::vector<Line> old(lines);
    old.swap(lines_);
    for (const Line& line : old) {
      for (const Slot& s : line.slots) {
        if (s.value) slot(place_of(s.key)) = s;
      }
    }
  }

  std::vector<Line> lines_;  // A power of two of them.
  size_t size_ = 0;
};

}  // namespace usk
