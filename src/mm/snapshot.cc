#include "mm/snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "host/file.h"

namespace usk {

using platform::kPageSize;

namespace {

constexpr size_t kPiece = 256 << 10;

std::unexpected<Failure> cannot(const char* what, uint64_t addr, Errno e) {
  return fail(fmt::format("memory at {:#x} cannot be {}: {}", addr, what, strerror(int(e))));
}

bool is_zero(std::span<const std::byte> bytes) {
  return bytes[0] == std::byte(0) && memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

// Pages of a kind at a time.
OrFailure<void> write_pages(std::span<const std::byte> pages, PageStore& store) {
  while (!pages.empty()) {
    const bool zero = is_zero(pages.first(kPageSize));
    size_t n = kPageSize;
    while (n < pages.size() && is_zero(pages.subspan(n, kPageSize)) == zero) n += kPageSize;
    if (zero) {
      TRY(store.skip(n));
    } else {
      TRY(store.append(pages.first(n)));
    }
    pages = pages.subspan(n);
  }
  return {};
}

}  // namespace

MemorySnapshot::MemorySnapshot(Ref<AddressSpace> mm) : mm_(std::move(mm)) {
  for (const Vma& v : mm_->areas()) {
    if (v.has(Vma::kShared) || v.is_time_page()) continue;
    areas_.push_back({v.start, v.end, v.file != nullptr, mm_->of_image(v.start, v.end)});
  }
}

OrFailure<void> MemorySnapshot::find_pages(uint64_t at) {
  at_ = at;
  for (const Area& area : areas_) TRY(add_runs(area));
  return {};
}

OrFailure<std::vector<platform::Space::PageRun>> MemorySnapshot::pages_of(const Area& area) {
  constexpr size_t kAtOnce = 512;
  std::vector<platform::Space::PageRun> all;
  for (const auto& r : area.of_image) all.push_back({r.start, r.end});
  for (uint64_t at = area.start; at < area.end;) {
    const auto found = space().find_pages(at, area.end, platform::Space::Pages::kOwn, kAtOnce);
    if (!found) return cannot("read", area.start, found.error());
    all.insert(all.end(), found->runs.begin(), found->runs.end());
    at = found->looked_to;
  }
  std::ranges::sort(all, {}, &platform::Space::PageRun::start);
  return all;
}

// Between pages of a file there are others of it.
OrFailure<void> MemorySnapshot::add_runs(const Area& area) {
  const uint64_t longest_gap = area.of_file ? 0 : 16 * kPageSize;
  const size_t first = runs_.size();
  for (const auto& run : TRY(pages_of(area))) {
    PageRun* last = runs_.size() > first ? &runs_.back() : nullptr;
    const uint64_t end_of_last = last ? last->addr + last->length : 0;
    if (last && run.start <= end_of_last + longest_gap) {
      last->length = std::max(run.end, end_of_last) - last->addr;
    } else {
      runs_.push_back({run.start, run.end - run.start, end()});
    }
  }
  return {};
}

std::vector<uint64_t> MemorySnapshot::needed_first() const {
  std::vector<uint64_t> all;
  for (const uint64_t addr : needed_first_) {
    const auto behind = std::ranges::upper_bound(runs_, addr, {}, &PageRun::addr);
    if (behind == runs_.begin()) continue;
    const PageRun& run = *std::prev(behind);
    if (addr - run.addr < run.length) all.push_back(run.at + (addr - run.addr));
  }
  return all;
}

OrFailure<void> MemorySnapshot::detach(platform::Platform& platform, platform::Thread& by) {
  auto copy = mm_->copy(platform, by);
  if (!copy) return cannot("copied", mm_->layout.start_code, copy.error());
  copy_ = std::move(*copy);
  return {};
}

OrFailure<void> MemorySnapshot::read(uint64_t addr, std::span<std::byte> to) {
  const auto n = copy_.space ? copy_.space->read_forced(addr, to) : mm_->read_forced(addr, to);
  if (!n || *n != to.size()) return cannot("read", addr, n ? Errno(EFAULT) : n.error());
  clear_left_out(addr, to);
  return {};
}

void MemorySnapshot::clear_left_out(uint64_t addr, std::span<std::byte> piece) const {
  for (const Bytes& b : left_out_) {
    const uint64_t from = std::max(b.addr, addr);
    const uint64_t to = std::min(b.addr + b.length, addr + piece.size());
    if (from < to) memset(piece.data() + (from - addr), 0, to - from);
  }
}

OrFailure<bool> MemorySnapshot::write_some(PageStore& store, uint64_t most) {
  std::vector<std::byte> buffer(kPiece);
  for (uint64_t written = 0; run_ < runs_.size() && written < most;) {
    const PageRun& run = runs_[run_];
    const std::span piece = std::span(buffer).first(std::min(run.length - done_, kPiece));
    TRY(read(run.addr + done_, piece));
    TRY(write_pages(piece, store));
    written += piece.size();
    done_ += piece.size();
    if (done_ == run.length) run_++, done_ = 0;
  }
  return run_ < runs_.size();
}

namespace {

// To its place in a file.
class FileStore final : public PageStore {
 public:
  FileStore(const HostFd& file, uint64_t at) : file_(file), at_(at) {}
  OrFailure<void> append(std::span<const std::byte> pages) override {
    while (!pages.empty()) {
      const auto n = host::pwrite(file_, pages, at_);
      if (!n) return cannot("written", at_, n.error());
      at_ += *n;
      pages = pages.subspan(*n);
    }
    return {};
  }
  OrFailure<void> skip(uint64_t length) override {
    at_ += length;
    return {};
  }

 private:
  const HostFd& file_;
  uint64_t at_;
};

}  // namespace

OrFailure<void> write_to_file(std::span<const std::byte> pages, const HostFd& file, uint64_t at) {
  FileStore store(file, at);
  return write_pages(pages, store);
}

OrFailure<void> MemorySnapshot::write_range(uint64_t from, uint64_t to, const HostFd& file) {
  std::vector<std::byte> buffer(std::min<uint64_t>(to - from, kPiece));
  auto run = std::ranges::upper_bound(runs_, from, {}, &PageRun::at);
  if (run != runs_.begin()) --run;
  for (; run != runs_.end() && run->at < to; ++run) {
    const uint64_t end = std::min(to, run->at + run->length);
    for (uint64_t at = std::max(from, run->at); at < end;) {
      const auto piece = std::span(buffer).first(std::min<uint64_t>(end - at, kPiece));
      const uint64_t addr = run->addr + (at - run->at);
      TRY(read(addr, piece));
      TRY(write_to_file(piece, file, at));
      at += piece.size();
    }
  }
  return {};
}

// Lets areas into forks that stay out of them, or are wiped; or has them be as they are again.
Result<void> AddressSpace::let_all_fork(platform::Thread& by, bool on) {
  for (const auto& [start, v] : areas_) {
    if (v.has(Vma::kDontFork)) {
      TRY(space_->advise(by, start, v.length(), on ? MADV_DOFORK : MADV_DONTFORK));
    }
    if (v.has(Vma::kWipeOnFork)) {
      TRY(tell_host(by, start, v.end, on ? MADV_KEEPONFORK : MADV_WIPEONFORK));
    }
  }
  return {};
}

Result<platform::NewSpace> AddressSpace::copy(platform::Platform& platform, platform::Thread& by) {
  TRY(bring_all(by));
  Hold lock(*this);
  TRY(let_all_fork(by, true));
  auto copy = platform.fork(by);
  TRY(let_all_fork(by, false));
  if (copy) restore_text_in(*copy->space);
  return copy;
}

// Whether it becomes a mapping of the image. Mapping a few pages takes longer than copying them,
// and the image may lie where nothing is to be executed. What arrives later costs a page fault that
// the kernel process serves, by which small runs, stacks among them, are not to be slowed down.
bool is_mapped_from_image(const Vma& v, uint64_t length, bool arrives) {
  const uint64_t few = (arrives ? 16 : 4) * kPageSize;
  constexpr uint32_t kTold = Vma::kDontFork | Vma::kWipeOnFork | Vma::kHuge | Vma::kNoHuge;
  const bool simple = v.file ? !(v.prot & PROT_EXEC) : !v.backing;
  return simple && !v.has(kTold) && length > few;
}

OrFailure<void> AddressSpace::map_part(platform::Thread& by, const Vma& v, const SavedPages& pages,
                                       const PageRun& part) {
  const bool there = !pages.arriving || pages.arriving->has(part.at, part.length);
  const auto mapped = space_->map(by, {.addr = part.addr,
                                       .length = part.length,
                                       .prot = there ? v.prot : PROT_NONE,
                                       .flags = MAP_PRIVATE | MAP_NORESERVE,
                                       .fd = pages.file.get(),
                                       .offset = part.at,
                                       .own_file = true,
                                       .promised = true});
  if (!mapped) return cannot("mapped", part.addr, mapped.error());
  of_image_.add(part.addr, part.addr + part.length);
  if (!there) expect(part, pages.arriving);
  return {};
}

OrFailure<void> AddressSpace::copy_part(const SavedPages& pages, const PageRun& part,
                                        std::span<std::byte> buffer) {
  const auto waited =
      pages.arriving ? pages.arriving->wait_for(part.at, part.length) : Result<void>();
  if (!waited) return cannot("read", part.addr, waited.error());
  for (uint64_t done = 0; done < part.length;) {
    const auto piece = buffer.first(std::min<uint64_t>(part.length - done, buffer.size()));
    const auto got = host::pread(*pages.file, piece, part.at + done);
    if (!got || *got == 0) return cannot("read", part.addr, got ? Errno(EIO) : got.error());
    const auto put = space_->write_forced(part.addr + done, piece.first(*got));
    if (!put || *put != *got) return cannot("written", part.addr, put ? Errno(EIO) : put.error());
    done += *got;
  }
  return {};
}

OrFailure<std::vector<AddressSpace::Part>> AddressSpace::parts_of(const SavedPages& pages,
                                                                  const PageRun& run) {
  const bool possible = run.addr % kPageSize == 0 && run.length % kPageSize == 0 &&
                        run.at % kPageSize == 0 && run.length <= platform::kGuestEnd &&
                        run.addr <= platform::kGuestEnd - run.length && run.at <= pages.size &&
                        run.length <= pages.size - run.at;
  const uint64_t end = run.addr + run.length;
  if (!possible || !range_is_mapped(run.addr, end)) {
    return fail(fmt::format("pages at {:#x}, where there is no memory", run.addr));
  }
  std::vector<Part> parts;
  for (auto it = first_ending_after(run.addr); it != areas_.end() && it->first < end; ++it) {
    const Vma& v = it->second;
    if (v.has(Vma::kShared) || v.is_time_page()) {
      return fail(fmt::format("pages at {:#x}, where memory is a file's", run.addr));
    }
    const uint64_t start = std::max(run.addr, v.start);
    parts.push_back({&v, {start, std::min(end, v.end) - start, run.at + start - run.addr}});
  }
  return parts;
}

// Mappings wait for each other alone, copies for all that is to be mapped.
OrFailure<void> AddressSpace::load_pages(platform::Thread& by, const SavedPages& pages,
                                         std::span<const PageRun> runs) {
  Hold lock(*this);
  std::vector<PageRun> copied;
  for (const PageRun& run : runs) {
    for (const Part& part : TRY(parts_of(pages, run))) {
      if (is_mapped_from_image(*part.area, part.pages.length, pages.arriving != nullptr)) {
        TRY(map_part(by, *part.area, pages, part.pages));
      } else {
        copied.push_back(part.pages);
      }
    }
  }
  std::vector<std::byte> buffer(copied.empty() ? 0 : kPiece);
  for (const PageRun& part : copied) TRY(copy_part(pages, part, buffer));
  return {};
}

}  // namespace usk
