#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <unistd.h>

#include <cstring>

#include "host/file.h"
#include "host/file_io.h"
#include "host/random.h"
#include "state/image/image.h"

namespace usk::state {
namespace {

std::unexpected<Failure> cannot(std::string_view what, Errno why) {
  return fail(fmt::format("cannot write {}: {}", what, strerror(int(why))));
}

// Whether `name` may be written: nothing stands there, or an image. False: nothing.
OrFailure<bool> may_replace(const HostFd& parent, const std::string& name) {
  const auto found = host::stat_at(parent, name);
  if (failed_with(found, ENOENT)) return false;
  if (!found) return cannot(name, found.error());
  auto dir = host::open_beneath(parent, name, O_PATH | O_DIRECTORY);
  if (dir && host::stat_at(**dir, "manifest")) return true;
  return fail(fmt::format("{} exists and is no image", name));
}

}  // namespace

void remove_image(const HostFd& parent, const std::string& name) {
  auto dir = host::open_beneath(parent, name, O_RDONLY | O_DIRECTORY);
  if (!dir) return;
  (void)host::unlink_at(**dir, "manifest", 0);  // Now it is none, whatever comes between.
  if (auto entries = host::read_dir(**dir)) {
    for (const host::HostDirEntry& entry : *entries) (void)host::unlink_at(**dir, entry.name, 0);
  }
  (void)host::unlink_at(parent, name, AT_REMOVEDIR);
}

OrFailure<ImageWriter> ImageWriter::create(const std::string& dir) {
  std::string path = dir;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  const size_t slash = path.rfind('/');
  const std::string name = path.substr(slash == path.npos ? 0 : slash + 1);
  const std::string above = slash == path.npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
  if (name.empty() || name == "." || name == "..") {
    return fail(fmt::format("{}: not a name for an image", dir));
  }
  auto parent = host::open_dir(above);
  if (!parent) return cannot(above, parent.error());
  return create_in(*parent, name);
}

OrFailure<ImageWriter> ImageWriter::create_in(Ref<HostFd> parent, const std::string& name) {
  TRY(may_replace(*parent, name));
  uint64_t random;
  host::fill_random(std::as_writable_bytes(std::span(&random, 1)));
  const std::string temporary = fmt::format("{}.tmp-{:016x}", name, random);
  if (auto made = host::mkdir_at(*parent, temporary, 0700); !made) {
    return cannot(temporary, made.error());
  }
  ImageWriter w;
  w.name_ = name;
  w.parent_ = std::move(parent);
  w.temporary_ = temporary;
  auto opened = host::open_beneath(*w.parent_, temporary, O_RDONLY | O_DIRECTORY);
  if (!opened) return cannot(temporary, opened.error());
  w.dir_ = *opened;
  return w;
}

ImageWriter ImageWriter::in_memory() { return ImageWriter(); }

ImageWriter::~ImageWriter() {
  if (parent_ && !temporary_.empty()) remove_image(*parent_, temporary_);
}

OrFailure<Ref<HostFd>> ImageWriter::make_file(const std::string& name) {
  if (into_) {
    for (const auto& [given, file] : *into_) {
      if (given == name) return file;
    }
    return fail("image part " + name + ": no file was given for it");
  }
  if (dir_) {
    auto opened = host::open_beneath(*dir_, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!opened) return cannot("image part " + name, opened.error());
    return *opened;
  }
  auto opened = host::memory_file(name.c_str());
  if (!opened) return cannot("image part " + name, opened.error());
  return make_ref<HostFd>(std::move(*opened));
}

OrFailure<ImageWriter::Files> ImageWriter::make_files(std::span<const std::string_view> parts) {
  Files files;
  for (const std::string_view part : parts) {
    files.emplace_back(part, TRY(make_file(std::string(part))));
  }
  files.emplace_back("manifest", TRY(make_file("manifest")));
  made_ = files;
  return files;
}

ImageWriter ImageWriter::into(Files files) {
  ImageWriter w;
  w.into_ = std::move(files);
  return w;
}

OrFailure<void> ImageWriter::place(bool sync) {
  if (sync) {
    for (const auto& [name, file] : made_) {
      if (auto done = host::fsync(*file, false); !done) return cannot(name, done.error());
    }
    if (auto done = host::fsync(*dir_, false); !done) return cannot(temporary_, done.error());
  }
  return put_in_place(sync);
}

std::vector<Ref<HostFd>> ImageWriter::unsynced() const {
  std::vector<Ref<HostFd>> files;
  for (const auto& [name, file] : made_) files.push_back(file);
  if (dir_) files.push_back(dir_);
  return files;
}

OrFailure<PartWriter*> ImageWriter::begin(std::string name) {
  if (!is_part_name(name)) return fail(name + ": not a name for a part");
  Ref<HostFd> file = TRY(make_file(name));
  parts_.emplace_back(new PartWriter(std::move(name), std::move(file), form_.compressed));
  PartWriter& part = *parts_.back();
  if (part.name_ == kPagesPart) {
    part.base_ = base_pages_.get();
    part.notes_ = form_.notes.get();
  }
  return &part;
}

OrFailure<void> ImageWriter::set_form(ImageForm form) {
  form_ = std::move(form);
  if (!form_.base) return {};
  if (form_.base_notes) {
    base_pages_ = {form_.base_notes, &form_.base_notes->pages};
  } else {
    base_pages_ = std::make_shared<const PageIndex>(TRY(PageIndex::read(*form_.base_pages)));
  }
  return {};
}

OrFailure<void> ImageWriter::finish_parts() {
  for (size_t i = 0; i < parts_.size(); i++) {  // The map joins them.
    TRY(parts_[i]->finish());
    if (parts_[i]->base_) TRY(add(kPagesMap, parts_[i]->map_.encode()));
  }
  return {};
}

OrFailure<void> ImageWriter::add(std::string name, std::string_view bytes) {
  PartWriter* part = TRY(begin(std::move(name)));
  return part->append(bytes);
}

OrFailure<Image> ImageWriter::finish(Manifest manifest, bool sync) {
  Image image;
  TRY(finish_parts());
  manifest.parts.clear();
  manifest.base = form_.base;
  for (const auto& part : parts_) {
    manifest.parts.push_back(part->part());
    image.files_[part->name_] = part->file_;
    // It may end with zeros that were left out.
    if (auto set = host::ftruncate(*part->file_, part->file_size_); !set) {
      return cannot("image part " + part->name_, set.error());
    }
    if (!sync || (!dir_ && !into_)) continue;
    if (auto done = host::fsync(*part->file_, false); !done) {
      return cannot("image part " + part->name_, done.error());
    }
  }
  const std::string text = manifest.to_text();
  if (form_.notes) form_.notes->checksum = TRY(Manifest::parse(text)).checksum;
  if (dir_ || into_) TRY(put_manifest(text, sync));
  if (dir_) TRY(place(sync));
  image.manifest_ = std::move(manifest);
  return image;
}

OrFailure<void> ImageWriter::put_manifest(const std::string& text, bool sync) {
  const Ref<HostFd> file = TRY(make_file("manifest"));
  auto rest = std::as_bytes(std::span(text));
  uint64_t offset = 0;
  while (!rest.empty()) {
    const auto n = host::pwrite(*file, rest, offset);
    if (!n) return cannot("the manifest", n.error());
    rest = rest.subspan(*n);
    offset += *n;
  }
  if (!sync) return {};
  if (auto done = host::fsync(*file, false); !done) return cannot("the manifest", done.error());
  return {};
}

// An older image of that name is exchanged for this one, then removed.
OrFailure<void> ImageWriter::put_in_place(bool sync) {
  const bool replace = TRY(may_replace(*parent_, name_));
  const auto renamed = host::rename_at(*parent_, temporary_, *parent_, name_,
                                       replace ? RENAME_EXCHANGE : RENAME_NOREPLACE);
  if (!renamed) return cannot(name_, renamed.error());
  if (replace) remove_image(*parent_, temporary_);
  temporary_.clear();
  if (!sync) return {};
  auto parent = host::open_beneath(*parent_, ".", O_RDONLY | O_DIRECTORY);
  if (!parent) return cannot(name_, parent.error());
  if (auto done = host::fsync(**parent, false); !done) return cannot(name_, done.error());
  return {};
}

}  // namespace usk::state
