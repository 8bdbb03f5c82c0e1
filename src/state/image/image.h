// An image on the host: a directory with a manifest and parts, or the same in memory.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"
#include "state/image/checksum.h"
#include "state/image/frames.h"
#include "state/image/image_check.h"
#include "state/image/manifest.h"
#include "state/image/page_map.h"
#include "state/image/part_reader.h"

namespace usk::state {

// An image to read. Nothing in it is taken on trust but by read() and verify(), which compare
// checksums; somebody who made it all up passes those, too.
class Image {
 public:
  // The manifest is whole and every part is there in its size; so it is with the images that it
  // refers to.
  static OrFailure<Image> open(const std::string& dir);
  // The same of files, the manifest's last, that nobody writes to any more.
  using Files = std::vector<std::pair<std::string, Ref<HostFd>>>;
  static OrFailure<Image> of(const Files& files);

  const Manifest& manifest() const { return manifest_; }
  // The whole of a small part, with its checksum compared.
  OrFailure<std::string> read(std::string_view part) const;
  // What a part holds, for reading piece by piece or mapping: its file, or a memory file if it is
  // compressed or refers to another image. Its checksum was not compared.
  OrFailure<Ref<HostFd>> file(std::string_view part) const;
  // The same piece by piece, unpacked when it is read.
  OrFailure<std::unique_ptr<PartReader>> reader(std::string_view part) const;
  // How many bytes that are; 0 without such a part.
  OrFailure<uint64_t> length(std::string_view part) const;
  // Reads a part, or all with the images that it refers to, to compare checksums.
  OrFailure<void> verify(std::string_view part) const;
  OrFailure<void> verify() const;
  // The same for parts with that name, here and in the images that it refers to, but for what their
  // frames hold: to be done step by step.
  void check(std::string_view part, ImageCheck& with) const;

 private:
  friend class ImageWriter;
  static constexpr int kMaxBases = 32;
  Image() = default;
  // `find` gives the file of a part.
  using FindFile = std::function<Result<Ref<HostFd>>(const std::string& name)>;
  static OrFailure<Image> read(const HostFd& manifest, const FindFile& find);
  static OrFailure<Image> open(const std::string& dir, int depth);
  OrFailure<void> open_base(const std::string& dir, int depth);
  struct Opened {
    const Part& part;
    Ref<HostFd> file;
  };
  OrFailure<Opened> find(std::string_view name) const;
  // What is in its file.
  OrFailure<Ref<HostFd>> plain_file(const Opened& opened) const;
  OrFailure<PageMap> map_of(const Part& part) const;
  Manifest manifest_;
  std::map<std::string, Ref<HostFd>, std::less<>> files_;
  std::shared_ptr<const Image> base_;
  mutable std::map<std::string, Ref<HostFd>, std::less<>> made_;  // By file().
};

// How an image is written.
struct ImageForm {
  bool compressed = false;
  std::optional<Base> base;
  bool files_hashed = false;  // Files of the host are to be known by what is in them (HostHashes).
  Ref<HostFd> base_pages;     // PageIndex::of() its kPagesPart, or ...
  std::shared_ptr<const ImageNotes> base_notes;  // ... the notes that were taken of it.
  std::shared_ptr<ImageNotes> notes;             // To be taken of this one; perhaps null.
};
// The part whose pages may be in a base, and the one that says which are.
constexpr const char* kPagesPart = "memory";
constexpr const char* kPagesMap = "memory-map";

// A part that is being written, from its beginning to its end.
class PartWriter {
 public:
  OrFailure<void> append(std::span<const std::byte> bytes);
  OrFailure<void> append(std::string_view bytes);
  // So many bytes are zero, and take no room.
  OrFailure<void> skip(uint64_t length);
  // Of what was appended.
  uint64_t size() const { return size_; }
  // Up to so many bytes will be.
  void expect(uint64_t size);
  // Of an image that is neither compressed nor refers to another: so many bytes come next, which
  // the caller writes to file() by itself, whenever it likes. The part's checksum knows nothing of
  // them.
  void leave_out(uint64_t length);
  const Ref<HostFd>& file() const { return file_; }

 private:
  friend class ImageWriter;
  PartWriter(std::string name, Ref<HostFd> file, bool compressed);
  void note(std::span<const std::byte> bytes);
  // What its file is to hold, and the bytes themselves.
  OrFailure<void> put(std::span<const std::byte> bytes);
  OrFailure<void> write(std::span<const std::byte> bytes);
  // Nothing is appended any more.
  OrFailure<void> finish();
  Part part() const;

  std::string name_;
  Ref<HostFd> file_;
  const bool compressed_;
  uint64_t size_ = 0, plain_size_ = 0, file_size_ = 0;
  Checksum checksum_;
  std::unique_ptr<FrameWriter> frames_;  // Null: not compressed, or finished.
  const PageIndex* base_ = nullptr;      // Null: refers to no other image.
  ImageNotes* notes_ = nullptr;          // Null: nobody takes any.
  PageMap map_;
};

// Writes an image beside its final place, DIR.tmp-..., where it goes whole or not at all. What is
// not finished is removed.
class ImageWriter {
 public:
  // Fails at once if `dir` exists and is not an image.
  static OrFailure<ImageWriter> create(const std::string& dir);
  static OrFailure<ImageWriter> create_in(Ref<HostFd> parent, const std::string& name);
  static ImageWriter in_memory();
  // What one process writes and another puts in place: the writer of the directory makes the files,
  // the other one fills them (finish() its last), then place().
  using Files = std::vector<std::pair<std::string, Ref<HostFd>>>;
  OrFailure<Files> make_files(std::span<const std::string_view> parts);
  static ImageWriter into(Files files);
  // Before the first part.
  OrFailure<void> set_form(ImageForm form);
  const ImageForm& form() const { return form_; }
  OrFailure<void> place(bool sync = true);
  // What place() would bring to the disk before it puts the image in its place.
  std::vector<Ref<HostFd>> unsynced() const;
  ~ImageWriter();
  ImageWriter(ImageWriter&&) noexcept = default;

  // Parts may be written side by side, each by one thread at a time; begin() and finish() are for
  // one thread.
  OrFailure<PartWriter*> begin(std::string name);
  OrFailure<void> add(std::string name, std::string_view bytes);
  // The image stands in its place, on the disk if `sync`. `manifest` gets its parts from here.
  OrFailure<Image> finish(Manifest manifest, bool sync = true);

 private:
  ImageWriter() = default;
  OrFailure<Ref<HostFd>> make_file(const std::string& name);
  OrFailure<void> finish_parts();
  OrFailure<void> put_manifest(const std::string& text, bool sync);
  OrFailure<void> put_in_place(bool sync);

  std::string name_, temporary_;  // In parent_.
  Ref<HostFd> parent_, dir_;      // Null: in memory, or into_.
  std::optional<Files> into_;
  Files made_;
  ImageForm form_;
  std::shared_ptr<const PageIndex> base_pages_;
  std::vector<std::unique_ptr<PartWriter>> parts_;
};

// The files of an image that is given up, and their directory. Directories in it are none of ours,
// and stay.
void remove_image(const HostFd& parent, const std::string& name);

}  // namespace usk::state
