#include "mm/user.h"

#include <limits.h>

#include <algorithm>
#include <cstring>

namespace usk {

using platform::kGuestEnd;
using platform::kPageSize;

Result<size_t> UserMemory::read_piece(uint64_t addr, std::span<std::byte> dst) {
  if (addr >= kGuestEnd) return Err(EFAULT);
  dst = dst.first(std::min<uint64_t>(dst.size(), kGuestEnd - addr));
  for (;;) {
    auto n = by_.read_memory(addr, dst);
    if (n || (!mm_.bring(by_, addr, dst.size()) && !mm_.grow_stack(by_, addr, limits_))) return n;
  }
}

Result<size_t> UserMemory::read(uint64_t addr, std::span<std::byte> dst) {
  if (dst.empty()) return 0;
  size_t done = 0;
  while (done < dst.size()) {
    auto n = read_piece(addr + done, dst.subspan(done));
    if (!n) break;
    done += *n;
  }
  if (done == 0) return Err(EFAULT);
  return done;
}

Result<size_t> UserMemory::write(uint64_t addr, std::span<const std::byte> src) {
  if (src.empty()) return 0;
  if (addr >= kGuestEnd) return Err(EFAULT);
  src = src.first(std::min<uint64_t>(src.size(), kGuestEnd - addr));
  mm_.bring(by_, addr, src.size());
  size_t done = 0;
  while (done < src.size()) {
    const auto rest = src.subspan(done);
    auto n = by_.write_memory(addr + done, rest, mm_.is_writable(addr + done, rest.size()));
    if (n) {
      done += *n;
    } else if (!mm_.grow_stack(by_, addr + done, limits_)) {
      break;
    }
  }
  if (done == 0) return Err(EFAULT);
  return done;
}

Result<void> UserMemory::copy_in(std::span<std::byte> dst, uint64_t addr) {
  if (TRY(read(addr, dst)) != dst.size()) return Err(EFAULT);
  return {};
}

Result<void> UserMemory::copy_out(uint64_t addr, std::span<const std::byte> src) {
  if (TRY(write(addr, src)) != src.size()) return Err(EFAULT);
  return {};
}

Result<std::string> UserMemory::get_string(UserStr s, size_t max, int too_long) {
  std::string out;
  uint64_t addr = s.addr;
  while (out.size() <= max) {
    // To the end of the page at most: the next one may not be there.
    std::byte chunk[256];
    const size_t to_page_end = kPageSize - addr % kPageSize;
    const size_t want = std::min({sizeof chunk, to_page_end, max + 1 - out.size()});
    const size_t n = TRY(read_piece(addr, std::span(chunk, want)));
    const char* text = reinterpret_cast<const char*>(chunk);
    if (const void* zero = memchr(text, 0, n)) {
      out.append(text, static_cast<const char*>(zero));
      return out;
    }
    out.append(text, n);
    addr += n;
  }
  return Err(too_long);
}

Result<uint32_t> UserMemory::compare_exchange(uint64_t addr, uint32_t expected, uint32_t desired) {
  for (;;) {
    auto r = mm_.space().compare_exchange(by_, addr, expected, desired);
    if (r || !failed_with(r, EFAULT)) return r;
    if (!mm_.bring(by_, addr, sizeof expected) && !mm_.grow_stack(by_, addr, limits_)) return r;
  }
}

namespace {
constexpr uint64_t kMaxRw = 0x7ffff000;  // Linux: MAX_RW_COUNT
}

UserBuffers::UserBuffers(uint64_t addr, uint64_t len)
    : one_{reinterpret_cast<void*>(addr), std::min(len, kMaxRw)} {}

size_t UserBuffers::total() const {
  size_t n = 0;
  for (auto& p : parts()) n += p.iov_len;
  return n;
}

Result<UserBuffers> get_iovecs(UserMemory& mem, UserIov iov) {
  if (iov.count > IOV_MAX) return Err(EINVAL);
  UserBuffers b(TRY(mem.get_array(UserPtr<const iovec>{iov.addr}, iov.count)));
  size_t total = 0;
  for (iovec& p : b.parts()) {
    if (ssize_t(p.iov_len) < 0) return Err(EINVAL);
    p.iov_len = std::min<size_t>(p.iov_len, kMaxRw - total);
    total += p.iov_len;
  }
  return b;
}

namespace {

// Moves past parts that are done; returns the address and length of the next piece.
std::pair<uint64_t, size_t> next_piece(const UserBuffers& b, size_t& part, size_t& at) {
  const auto parts = b.parts();
  while (part < parts.size() && at == parts[part].iov_len) part++, at = 0;
  if (part == parts.size()) return {0, 0};
  return {reinterpret_cast<uint64_t>(parts[part].iov_base) + at, parts[part].iov_len - at};
}

void skip_bytes(const UserBuffers& b, size_t& part, size_t& at, size_t skip) {
  while (skip > 0) {
    auto [addr, length] = next_piece(b, part, at);
    if (length == 0) return;
    const size_t n = std::min(length, skip);
    at += n;
    skip -= n;
  }
}

}  // namespace

GuestOut::GuestOut(UserMemory mem, UserBuffers buffers, size_t skip)
    : mem_(mem), buffers_(std::move(buffers)) {
  const size_t total = buffers_.total();
  skip = std::min(skip, total);
  left_ = total - skip;
  skip_bytes(buffers_, part_, at_, skip);
}

Result<size_t> GuestOut::put(std::span<const std::byte> src) {
  size_t done = 0;
  while (done < src.size() && left_ > 0) {
    auto [addr, length] = next_piece(buffers_, part_, at_);
    const size_t want = std::min(length, src.size() - done);
    auto n = mem_.write(addr, src.subspan(done, want));
    if (!n) {
      if (done == 0) return n;
      break;
    }
    at_ += *n, left_ -= *n, done += *n;
    if (*n < want) break;
  }
  return done;
}

GuestIn::GuestIn(UserMemory mem, UserBuffers buffers, size_t skip)
    : mem_(mem), buffers_(std::move(buffers)) {
  const size_t total = buffers_.total();
  skip = std::min(skip, total);
  left_ = total - skip;
  skip_bytes(buffers_, part_, at_, skip);
}

Result<size_t> GuestIn::take(std::span<std::byte> dst) {
  size_t done = 0;
  while (done < dst.size() && left_ > 0) {
    auto [addr, length] = next_piece(buffers_, part_, at_);
    const size_t want = std::min(length, dst.size() - done);
    auto n = mem_.read(addr, dst.subspan(done, want));
    if (!n) {
      if (done == 0) return n;
      break;
    }
    at_ += *n, left_ -= *n, done += *n;
    if (*n < want) break;
  }
  return done;
}

}  // namespace usk
