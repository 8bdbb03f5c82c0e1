#include "image/archive.h"

#include <fmt/format.h>
#include <locale.h>

#include <memory>

#include "image/libraries.h"

namespace usk {
namespace {

constexpr size_t kMaxXattr = 64 << 10;  // Linux: XATTR_SIZE_MAX
// What may come out of the decompressor beside contents: headers and padding.
constexpr uint64_t kOverhead = 1 << 30;

using Archive = std::unique_ptr<struct archive, decltype(&archive_read_free)>;

// Once unpack_archive() has begun.
const ArchiveLibrary& lib() { return **archive_library(); }

// Names of files are bytes. libarchive converts those that are said to be UTF-8 to the locale's
// encoding, and gives none where that cannot be done.
class Utf8Names {
 public:
  Utf8Names() {
    if (utf8_locale()) before_ = uselocale(utf8_locale());
  }
  ~Utf8Names() {
    if (before_) uselocale(before_);
  }

 private:
  locale_t before_{};
};

struct Source {
  BlobReader& blob;
  std::string failure;  // Of reading, not of the archive.
};

la_ssize_t read_more(struct archive* a, void* source, const void** bytes) {
  auto& s = *static_cast<Source*>(source);
  auto got = s.blob.next();
  if (!got) {
    s.failure = got.error().message;
    lib().archive_set_error(a, EIO, "%s", "cannot be read");
    return -1;
  }
  *bytes = got->data();
  return la_ssize_t(got->size());
}

std::string text_or(const char* text, const char* otherwise) {
  return text ? text : otherwise ? otherwise : "";
}

void take_xattrs(struct archive_entry* from, ImageEntry& e) {
  lib().archive_entry_xattr_reset(from);
  const char* name;
  const void* value;
  size_t size;
  while (lib().archive_entry_xattr_next(from, &name, &value, &size) == ARCHIVE_OK) {
    const std::string_view n = name;
    const bool known = n.starts_with("user.") || n.starts_with("security.");
    if (!known || n.size() > 255 || size > kMaxXattr) continue;
    e.xattrs.emplace_back(n, std::string(static_cast<const char*>(value), size));
  }
}

OrFailure<ImageEntry> convert(struct archive_entry* from) {
  ImageEntry e;
  e.path = text_or(lib().archive_entry_pathname(from), lib().archive_entry_pathname_utf8(from));
  if (e.path.empty()) return fail("an entry has no name");
  const char* hard = lib().archive_entry_hardlink(from);
  if (!hard) hard = lib().archive_entry_hardlink_utf8(from);
  e.hard_link = hard;
  e.mode = (lib().archive_entry_filetype(from) & S_IFMT) | (lib().archive_entry_perm(from) & 07777);
  if (e.hard_link) {
    e.target = hard;
  } else if (S_ISLNK(e.mode)) {
    e.target = text_or(lib().archive_entry_symlink(from), lib().archive_entry_symlink_utf8(from));
  } else if (!S_ISREG(e.mode) && !S_ISDIR(e.mode) && !S_ISCHR(e.mode) && !S_ISBLK(e.mode) &&
             !S_ISFIFO(e.mode)) {
    return fail(fmt::format("{:?} is of no known type", shown(e.path)));
  }
  const int64_t uid = lib().archive_entry_uid(from), gid = lib().archive_entry_gid(from);
  const int64_t size = lib().archive_entry_size(from);
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX || size < 0) {
    return fail(fmt::format("{:?} has numbers out of range", shown(e.path)));
  }
  e.uid = Uid(uid);
  e.gid = Gid(gid);
  e.size = S_ISREG(e.mode) ? uint64_t(size) : 0;
  e.rdev = lib().archive_entry_rdev(from);
  e.mtime = {lib().archive_entry_mtime(from), lib().archive_entry_mtime_nsec(from)};
  if (e.mtime.tv_nsec < 0 || e.mtime.tv_nsec >= 1'000'000'000) e.mtime.tv_nsec = 0;
  take_xattrs(from, e);
  return e;
}

OrFailure<void> take_contents(struct archive* a, ImageBuilder& into) {
  const void* bytes;
  size_t size;
  la_int64_t offset;
  for (;;) {
    const int r = lib().archive_read_data_block(a, &bytes, &size, &offset);
    if (r == ARCHIVE_EOF) return {};
    if (r < ARCHIVE_WARN || offset < 0)
      return fail(shown(text_or(lib().archive_error_string(a), "damaged")));
    TRY(into.write(uint64_t(offset), {static_cast<const std::byte*>(bytes), size}));
  }
}

OrFailure<void> take_entries(struct archive* a, ImageBuilder& into) {
  const uint64_t most = into.bytes_left() + kOverhead;
  struct archive_entry* entry;
  for (;;) {
    const int r = lib().archive_read_next_header(a, &entry);
    if (r == ARCHIVE_EOF) return {};
    if (r < ARCHIVE_WARN) return fail(shown(text_or(lib().archive_error_string(a), "damaged")));
    if (uint64_t(lib().archive_filter_bytes(a, 0)) > most) return fail("it is too large");
    const ImageEntry e = TRY(convert(entry));
    TRY(into.add(e));
    if (e.size > 0) TRY(take_contents(a, into));
  }
}

}  // namespace

OrFailure<void> unpack_archive(BlobReader& blob, bool whiteouts, ImageBuilder& into) {
  const Utf8Names names;
  TRY(archive_library());
  Archive a(lib().archive_read_new(), lib().archive_read_free);
  if (!a) return fail("out of memory");
  // No more than this: each format is code that sees what strangers made. Nor any that would be
  // decompressed by a program of the host (ARCHIVE_WARN).
  if (lib().archive_read_support_format_tar(a.get()) != ARCHIVE_OK ||
      lib().archive_read_support_filter_gzip(a.get()) != ARCHIVE_OK ||
      lib().archive_read_support_filter_xz(a.get()) != ARCHIVE_OK ||
      lib().archive_read_support_filter_zstd(a.get()) != ARCHIVE_OK) {
    return fail("this libarchive cannot read tar, gzip, xz and zstd");
  }
  into.begin_layer(whiteouts);
  Source source{blob, {}};
  OrFailure<void> done;
  if (lib().archive_read_open(a.get(), &source, nullptr, read_more, nullptr) != ARCHIVE_OK) {
    done = fail("it is no tar archive, nor one compressed with gzip, xz or zstd");
  } else {
    done = take_entries(a.get(), into);
  }
  if (!source.failure.empty()) return fail(source.failure);
  TRY(done);
  return blob.verify();
}

}  // namespace usk
