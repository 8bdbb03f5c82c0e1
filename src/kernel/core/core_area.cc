#include "kernel/core/core_area.h"

#include <elf.h>

#include <cstring>

#include "fs/vfs/inode.h"

namespace usk {
namespace {

using platform::kPageSize;
using Run = platform::Space::PageRun;
using Pages = platform::Space::Pages;

Attr attributes_of(const Vma& v) {
  auto a = v.file->inode().getattr();
  return a ? *a : Attr{};
}

bool begins_with_elf_header(AddressSpace& mm, const Vma& v) {
  if (attributes_of(v).mode & 0111) return true;
  std::array<std::byte, SELFMAG> magic;
  const auto n = mm.read_forced(v.start, magic);
  return n && *n == magic.size() && memcmp(magic.data(), ELFMAG, SELFMAG) == 0;
}

}  // namespace

bool CoreArea::plan(AddressSpace& mm, uint32_t filter) {
  if (vma_.name == "[vdso]") {
    take_all();
    return true;
  }
  // The time page is of the kernel's own, which Linux leaves out as well.
  if (vma_.has(Vma::kDontDump) || vma_.name == "[vvar]") return true;
  if (vma_.has(Vma::kShared)) {
    plan_shared(filter);
    return true;
  }
  return plan_private(mm, filter);
}

// Memory of no file, and of files that nobody can open any more, is anonymous.
void CoreArea::plan_shared(uint32_t filter) {
  const bool anonymous = !vma_.file || attributes_of(vma_).nlink == 0;
  if (!(filter & (anonymous ? kDumpAnonShared : kDumpFileShared))) return;
  take_all();
  if (!vma_.file) {
    // Unlike Linux: to read what nobody has touched yet would make it there, so that of a large
    // area only pages are taken that this process has touched.
    constexpr uint64_t kLarge = 256 << 20;
    source_ = length_ > kLarge ? Source::kThere : Source::kAll;
    return;
  }
  auto reopened = vma_.file->inode().open(vma_.file->path(), O_RDONLY,
                                          Ref<const Creds>::share(&vma_.file->creds()));
  source_ = reopened ? Source::kFile : Source::kThere;
  if (reopened) data_ = std::move(*reopened);
}

bool CoreArea::plan_private(AddressSpace& mm, uint32_t filter) {
  // Unlike Linux: code of files is left out even if its pages were written to (relocations), since
  // the platform may have been the one who wrote.
  const bool code = vma_.file && (vma_.prot & PROT_EXEC) && !(vma_.prot & PROT_WRITE);
  if ((filter & kDumpAnonPrivate) && !code && looked_ != vma_.end) {
    const uint64_t from = std::max(looked_, vma_.start);
    const auto run = mm.next_pages(from, vma_.end, Pages::kOwn);
    looked_ = run ? run->end : vma_.end;
    if (run && run->start != run->end) {
      if (vma_.file) {
        take_all();
      } else {
        source_ = Source::kWrittenPages;
        length_ = vma_.length();
      }
      return true;
    }
    if (looked_ != vma_.end) return false;
  }
  if (!vma_.file) return true;
  if (filter & kDumpFilePrivate) {
    take_all();
  } else if ((filter & kDumpElfHeaders) && vma_.offset == 0 && begins_with_elf_header(mm, vma_)) {
    length_ = kPageSize;
  }
  return true;
}

void CoreArea::take_all() {
  length_ = vma_.length();
  if (!vma_.file) return;
  const uint64_t size = page_up(attributes_of(vma_).size);
  length_ = size > vma_.offset ? std::min(length_, size - vma_.offset) : 0;
}

Run CoreArea::next_data(AddressSpace& mm, uint64_t at) {
  switch (source_) {
    case Source::kAll: break;
    case Source::kFile: return next_file_data(at);
    case Source::kThere:
    case Source::kWrittenPages: {
      const auto which = source_ == Source::kThere ? Pages::kThere : Pages::kOwn;
      return mm.next_pages(at, end(), which).value_or(Run{end(), end()});
    }
  }
  return {at, end()};
}

Run CoreArea::next_file_data(uint64_t at) {
  const auto address = [&](uint64_t offset) {
    return offset < vma_.offset ? at : std::min(end(), vma_.start + (offset - vma_.offset));
  };
  const auto data = data_->seek(int64_t(at - vma_.start + vma_.offset), SEEK_DATA);
  if (!data) return {end(), end()};
  const auto hole = data_->seek(int64_t(*data), SEEK_HOLE);
  const uint64_t start = std::max(at, page_down(address(*data)));
  if (start >= end()) return {end(), end()};
  return {start, hole ? std::max(start, std::min(end(), page_up(address(*hole)))) : end()};
}

}  // namespace usk
