#include "image/root_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>

#include "host/file.h"
#include "host/memory_size.h"
#include "host/open.h"
#include "host/stream.h"
#include "image/archive.h"
#include "image/libraries.h"

namespace usk {
namespace {

// Contents of a root in memory are on the host's account, like the page cache of a directory that
// serves as root, and not part of --memory.
ImageLimits limits() { return {.bytes = host::physical_memory() / 2}; }

OrFailure<Blob> blob_of(Ref<HostFd> fd) {
  auto st = host::stat_of(fd->get());
  if (!st) return fail(strerror(int(st.error())));
  if (!S_ISREG(st->st_mode)) return fail("it is no regular file");
  return Blob{std::move(fd), 0, uint64_t(st->st_size)};
}

OrFailure<Blob> open_in(const HostFd& dir, const std::string& path) {
  auto fd = host::open_beneath(dir, path, O_RDONLY | O_NONBLOCK);
  if (!fd) return fail(strerror(int(fd.error())));
  return blob_of(std::move(*fd));
}

// A file of a tree that was itself unpacked.
OrFailure<Blob> open_in_tree(const FsTree& tree, std::string_view path) {
  Ref<Inode> at = tree.root->inode_ref();
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    auto next = at->lookup(path.substr(0, slash));
    if (!next) return fail(strerror(int(next.error())));
    at = std::move(*next);
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  if (!at->is_regular()) return fail("it is no regular file");
  auto& file = static_cast<ImageInode&>(*at);
  return Blob{file.image().store_ref(), file.offset(), file.size()};
}

OrFailure<RootImage> load_layout(const LayoutFiles& files, const std::string& tag) {
  ImageBuilder builder = TRY(ImageBuilder::make(limits()));
  RootImage image;
  image.config = TRY(unpack_layout(files, tag, builder));
  image.tree = TRY(builder.finish());
  return image;
}

OrFailure<RootImage> load_archive(Blob blob, const std::string& tag) {
  ImageBuilder builder = TRY(ImageBuilder::make(limits()));
  BlobReader reader(std::move(blob));
  TRY(unpack_archive(reader, false, builder));
  FsTree tree = TRY(builder.finish());
  const LayoutFiles files = [&](const std::string& path) { return open_in_tree(tree, path); };
  if (files("oci-layout") && files("index.json")) return load_layout(files, tag);
  if (!tag.empty()) return fail(fmt::format("it is no OCI image layout that could have a {}", tag));
  return RootImage{std::move(tree), std::nullopt};
}

OrFailure<std::optional<RootImage>> load(const std::string& path, const std::string& tag) {
  auto fd = host::open_place(path);
  if (!fd) return fail(strerror(int(fd.error())));
  auto st = host::stat_of((*fd)->get());
  if (!st) return fail(strerror(int(st.error())));
  if (S_ISREG(st->st_mode)) {
    auto file = host::reopen((*fd)->get(), O_RDONLY);
    if (!file) return fail(strerror(int(file.error())));
    return TRY(load_archive(TRY(blob_of(make_ref<HostFd>(std::move(*file)))), tag));
  }
  if (!S_ISDIR(st->st_mode)) return fail("give a directory, a tar archive or an OCI image layout");
  const LayoutFiles files = [&](const std::string& name) { return open_in(**fd, name); };
  if (!files("oci-layout") || !files("index.json")) {
    if (tag.empty()) return std::nullopt;
    return fail(fmt::format("it is no OCI image layout that could have a {}", tag));
  }
  return TRY(load_layout(files, tag));
}

// PATH:NAME, if there is no such path.
std::pair<std::string, std::string> split_tag(const std::string& path) {
  const size_t colon = path.rfind(':');
  if (colon == path.npos || host::open_place(path)) return {path, ""};
  return {path.substr(0, colon), path.substr(colon + 1)};
}

}  // namespace

std::string image_place(const std::string& path) { return split_tag(path).first; }

void load_image_libraries(const std::string& path) {
  const auto [place, tag] = split_tag(path);
  auto fd = host::open_place(place);
  if (!fd) return;
  auto st = host::stat_of((*fd)->get());
  if (!st || (S_ISDIR(st->st_mode) && !open_in(**fd, "oci-layout"))) return;
  prepare_archive_library();
  prepare_crypto_library();
}

OrFailure<std::optional<RootImage>> load_root_image(const std::string& path) {
  const auto [place, tag] = split_tag(path);
  auto image = load(place, tag);
  if (!image) return fail(fmt::format("--root {}: {}", path, image.error().message));
  return image;
}

}  // namespace usk
