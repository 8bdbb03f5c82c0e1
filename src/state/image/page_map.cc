#include "state/image/page_map.h"

#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "host/file.h"
#include "host/file_io.h"
#include "state/cbor.h"
#include "state/image/checksum.h"

namespace usk::state {
namespace {

std::unexpected<Failure> cannot(Errno why) {
  return fail(fmt::format("the pages of the base: {}", strerror(int(why))));
}

// Calls `f` with whole pieces of the file; its last one may be shorter.
template <class F>
OrFailure<void> for_pieces(const HostFd& file, size_t piece, F f) {
  std::vector<std::byte> buffer(piece);
  for (uint64_t at = 0;;) {
    size_t filled = 0;
    while (filled < piece) {
      const auto n = host::pread(file, std::span(buffer).subspan(filled), at + filled);
      if (!n) return cannot(n.error());
      if (*n == 0) break;
      filled += *n;
    }
    TRY(f(std::span<const std::byte>(buffer).first(filled)));
    if (filled < piece) return {};
    at += filled;
  }
}

}  // namespace

void PageMap::add(uint64_t length, bool from_base, uint64_t offset) {
  if (length == 0) return;
  size_ += length;
  if (!runs_.empty()) {
    Run& last = runs_.back();
    if (last.from_base == from_base && last.offset + last.length == offset) {
      last.length += length;
      return;
    }
  }
  runs_.push_back({length, from_base, offset});
}

std::string PageMap::encode() const {
  CborWriter out;
  out.array(runs_.size());
  for (const Run& run : runs_) {
    out.array(3);
    out.number(run.length);
    out.boolean(run.from_base);
    out.number(run.offset);
  }
  return out.take();
}

OrFailure<PageMap> PageMap::decode(std::string_view bytes, uint64_t own, uint64_t base) {
  CborReader in(bytes);
  const auto bad = [&] { return fail(in.error() ? in.error() : "pages that are not there"); };
  PageMap map;
  uint64_t count, three;
  if (!in.array(count)) return bad();
  for (uint64_t i = 0; i < count; i++) {
    Run run{};
    if (!in.array(three) || three != 3 || !in.number(run.length) || !in.boolean(run.from_base) ||
        !in.number(run.offset)) {
      return bad();
    }
    const uint64_t there = run.from_base ? base : own;
    if (run.offset > there || run.length > there - run.offset) return bad();
    if (run.length > uint64_t(INT64_MAX) - map.size_) return bad();
    map.add(run.length, run.from_base, run.offset);
  }
  if (!in.at_end()) return bad();
  return map;
}

PageIndex::Hash PageIndex::hash(std::span<const std::byte> page) {
  const auto [low, high] = Checksum::wide(page);
  return {low, high};
}

OrFailure<Ref<HostFd>> PageIndex::of(const HostFd& file) {
  auto made = host::memory_file("usk-pages");
  if (!made) return cannot(made.error());
  auto out = make_ref<HostFd>(std::move(*made));
  uint64_t at = 0;
  auto hash_piece = [&](std::span<const std::byte> piece) -> OrFailure<void> {
    std::vector<Hash> hashes;
    for (size_t i = 0; i + kPageSize <= piece.size(); i += kPageSize) {
      hashes.push_back(hash(piece.subspan(i, kPageSize)));
    }
    for (auto rest = std::as_bytes(std::span(hashes)); !rest.empty();) {
      const auto n = host::pwrite(*out, rest, at);
      if (!n) return cannot(n.error());
      rest = rest.subspan(*n);
      at += *n;
    }
    return {};
  };
  TRY(for_pieces(file, 256 * kPageSize, hash_piece));
  return out;
}

OrFailure<PageIndex> PageIndex::read(const HostFd& hashes) {
  PageIndex index;
  uint64_t place = 0;
  TRY(for_pieces(hashes, 4096 * sizeof(Hash),
                 [&](std::span<const std::byte> piece) -> OrFailure<void> {
                   for (size_t i = 0; i + sizeof(Hash) <= piece.size(); i += sizeof(Hash)) {
                     Hash h;
                     memcpy(&h, piece.data() + i, sizeof h);
                     index.add(h, place);
                     place += kPageSize;
                   }
                   return {};
                 }));
  return index;
}

std::optional<uint64_t> PageIndex::find(std::span<const std::byte> page) const {
  if (slots_.empty()) return std::nullopt;
  const Slot& slot = slots_[slot_of(hash(page))];
  if (slot.next == 0) return std::nullopt;
  return slot.next - kPageSize;
}

size_t PageIndex::slot_of(const Hash& page) const {
  const size_t mask = slots_.size() - 1;
  size_t at = page.low & mask;
  while (slots_[at].next != 0 && slots_[at].page != page) at = (at + 1) & mask;
  return at;
}

void PageIndex::reserve(uint64_t pages) {
  const size_t wanted = std::bit_ceil(std::max<uint64_t>(pages + pages / 2 + 1, 64));
  if (wanted <= slots_.size()) return;
  const auto old = std::exchange(slots_, std::vector<Slot>(wanted));
  for (const Slot& slot : old) {
    if (slot.next != 0) slots_[slot_of(slot.page)] = slot;
  }
}

void PageIndex::add(const Hash& page, uint64_t place) {
  if (slots_.empty() || taken_ > slots_.size() / 3 * 2) reserve(slots_.size());
  Slot& slot = slots_[slot_of(page)];
  if (slot.next != 0) return;
  slot = {page, place + kPageSize};
  taken_++;
}

}  // namespace usk::state
