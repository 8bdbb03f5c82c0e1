// Builds a tree from the entries of archives, one layer upon another.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"
#include "fs/image/image_fs.h"
#include "fs/vfs/mount.h"

namespace usk {

struct ImageEntry {
  std::string path;
  uint32_t mode = 0;  // With its type; unused for a hard link.
  Uid uid = 0;
  Gid gid = 0;
  Dev rdev = 0;
  uint64_t size = 0;
  timespec mtime{};
  std::string target;  // Of a symbolic link, or of a hard link: a path in the tree.
  bool hard_link = false;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

struct ImageLimits {
  uint64_t bytes;  // Of contents as they say, holes included, and of what is kept about each entry.
  uint64_t entries = 1'000'000;
};

// Every path is looked up in the tree that is being built, links included, and nowhere else; so
// whatever an archive says, nothing of the host is touched. ".." in an entry's path is refused.
class ImageBuilder {
 public:
  static OrFailure<ImageBuilder> make(const ImageLimits& limits);

  // What comes now lies upon what was there. With `whiteouts`, names that begin with ".wh." remove
  // from the layers below, as in OCI images.
  void begin_layer(bool whiteouts);
  // A regular file's contents come next, by write(); they are zeros where nothing was written.
  OrFailure<void> add(const ImageEntry& entry);
  OrFailure<void> write(uint64_t offset, std::span<const std::byte> bytes);

  uint64_t bytes_left() const { return limits_.bytes - used_; }
  // The tree; nothing may be added any more.
  OrFailure<FsTree> finish();

 private:
  ImageBuilder(const ImageLimits& limits, Ref<HostFd> store);
  struct Place {
    ImageInode* dir;
    std::string name;  // Empty: `dir` itself, the root.
  };
  OrFailure<Place> find_place(const std::string& path);
  OrFailure<ImageInode*> enter(std::vector<ImageInode*>& way, std::string name);
  OrFailure<ImageInode*> add_directory(ImageInode& parent, const std::string& name);
  OrFailure<void> charge(uint64_t bytes);
  OrFailure<void> insert(const Place& at, const ImageEntry& entry);
  OrFailure<void> insert_link(const Place& at, const ImageEntry& entry);
  OrFailure<bool> whiteout(const Place& at);
  Ref<ImageInode> new_inode(const ImageEntry& entry);
  void describe(ImageInode& inode, const ImageEntry& entry);
  void put(ImageInode& dir, const std::string& name, Ref<ImageInode> inode);
  void remove(ImageInode& dir, const std::string& name);
  void prune(ImageInode& dir);

  ImageLimits limits_;
  Ref<HostFd> store_;
  Ref<ImageFs> fs_;
  Ref<ImageInode> root_;
  ImageInode* open_file_ = nullptr;  // That write() is about.
  uint64_t used_ = 0, entries_ = 0, end_ = 0;
  Ino next_ino_ = 1;
  uint32_t layer_ = 0;
  bool whiteouts_ = false;
  std::string now_;  // The path of the entry at hand, for messages.
};

}  // namespace usk
