#include "fs/image/image_builder.h"

#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <deque>

#include "host/file.h"
#include "host/file_io.h"

namespace usk {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kPerEntry = 512;  // What is kept about one, roughly.
constexpr size_t kMaxName = 255, kMaxPath = 4096;
constexpr uint32_t kMaxDepth = 1024;
constexpr int kMaxLinks = 40;  // Linux: MAXSYMLINKS
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";

uint64_t page_up(uint64_t n) { return (n + kPage - 1) / kPage * kPage; }

std::deque<std::string> components(std::string_view path) {
  std::deque<std::string> out;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (!name.empty() && name != ".") out.emplace_back(name);
  }
  return out;
}

bool is_zero(std::span<const std::byte> bytes) {
  return bytes.empty() ||
         (bytes[0] == std::byte{} && memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

ImageBuilder::ImageBuilder(const ImageLimits& limits, Ref<HostFd> store)
    : limits_(limits), store_(std::move(store)), fs_(make_ref<ImageFs>(store_)) {
  root_ = new_inode({.path = "/", .mode = S_IFDIR | 0755});
}

OrFailure<ImageBuilder> ImageBuilder::make(const ImageLimits& limits) {
  auto store = host::memory_file("usk-image");
  if (!store) return fail(fmt::format("memfd: {}", strerror(int(store.error()))));
  return ImageBuilder(limits, make_ref<HostFd>(std::move(*store)));
}

void ImageBuilder::begin_layer(bool whiteouts) {
  layer_++;
  whiteouts_ = whiteouts;
  open_file_ = nullptr;
}

OrFailure<void> ImageBuilder::charge(uint64_t bytes) {
  if (++entries_ > limits_.entries) {
    return fail(fmt::format("it has more than {} entries", limits_.entries));
  }
  const uint64_t left = limits_.bytes - used_;
  if (bytes > left || page_up(bytes) + kPerEntry + now_.size() > left) {
    return fail(fmt::format("{:?} makes it larger than the {} MiB that a root in memory may have",
                            now_, limits_.bytes >> 20));
  }
  used_ += page_up(bytes) + kPerEntry + now_.size();
  return {};
}

Ref<ImageInode> ImageBuilder::new_inode(const ImageEntry& entry) {
  Attr attr;
  attr.mode = entry.mode;
  attr.nlink = S_ISDIR(entry.mode) ? 2 : 1;
  attr.rdev = S_ISCHR(entry.mode) || S_ISBLK(entry.mode) ? entry.rdev : 0;
  if (S_ISREG(entry.mode)) {
    attr.size = entry.size;
    attr.blocks = page_up(entry.size) / 512;
  } else if (S_ISLNK(entry.mode)) {
    attr.size = entry.target.size();
  }
  auto inode = make_ref<ImageInode>(fs_, next_ino_++, attr);
  inode->target_ = S_ISLNK(entry.mode) ? entry.target : "";
  inode->layer_ = layer_;
  describe(*inode, entry);
  return inode;
}

// What an entry says again of a directory that is there already.
void ImageBuilder::describe(ImageInode& inode, const ImageEntry& entry) {
  inode.attr_.mode = inode.type() | (entry.mode & 07777);
  inode.attr_.uid = entry.uid;
  inode.attr_.gid = entry.gid;
  inode.attr_.atime = inode.attr_.mtime = inode.attr_.ctime = inode.attr_.btime = entry.mtime;
  inode.xattrs_.clear();
  for (const auto& [name, value] : entry.xattrs) inode.xattrs_[name] = value;
}

void ImageBuilder::put(ImageInode& dir, const std::string& name, Ref<ImageInode> inode) {
  remove(dir, name);
  if (inode->is_dir()) {
    dir.attr_.nlink++;
    inode->depth_ = dir.depth_ + 1;
  }
  dir.children_[name] = std::move(inode);
}

void ImageBuilder::remove(ImageInode& dir, const std::string& name) {
  auto it = dir.children_.find(name);
  if (it == dir.children_.end()) return;
  if (it->second->is_dir()) {
    dir.attr_.nlink--;
  } else {
    it->second->attr_.nlink--;
  }
  dir.children_.erase(it);
}

// Takes away what layers below put here.
void ImageBuilder::prune(ImageInode& dir) {
  std::vector<std::string> gone;
  for (auto& [name, child] : dir.children_) {
    if (child->layer_ < layer_ && child->touched_ < layer_) {
      gone.push_back(name);
    } else if (child->is_dir()) {
      prune(*child);
    }
  }
  for (const std::string& name : gone) remove(dir, name);
}

OrFailure<ImageInode*> ImageBuilder::add_directory(ImageInode& parent, const std::string& name) {
  if (parent.depth_ >= kMaxDepth) return fail(fmt::format("{:?} lies too deep", now_));
  if (name.size() > kMaxName) return fail(fmt::format("{:?} has too long a name", now_));
  TRY(charge(0));
  Ref<ImageInode> made = new_inode({.mode = S_IFDIR | 0755});
  put(parent, name, made);
  return made.get();
}

// One step of the way to an entry. Null: a symbolic link, whose target is to be gone instead.
OrFailure<ImageInode*> ImageBuilder::enter(std::vector<ImageInode*>& way, std::string name) {
  if (name == "..") {
    if (way.size() > 1) way.pop_back();
    return way.back();
  }
  ImageInode& dir = *way.back();
  auto it = dir.children_.find(name);
  ImageInode* next = it == dir.children_.end() ? TRY(add_directory(dir, name)) : it->second.get();
  if (next->is_symlink()) return nullptr;
  if (!next->is_dir())
    return fail(fmt::format("{:?} lies below something that is no directory", now_));
  way.push_back(next);
  return next;
}

// The directory an entry belongs to, made where it is missing. Links on the way are followed as
// they would be in the finished root: some images rely on it (lib -> usr/lib).
OrFailure<ImageBuilder::Place> ImageBuilder::find_place(const std::string& path) {
  if (path.size() > kMaxPath)
    return fail(fmt::format("{:?}... is too long a path", path.substr(0, 64)));
  std::deque<std::string> names = components(path);
  if (std::ranges::find(names, "..") != names.end()) {
    return fail(fmt::format("{:?} has \"..\" in it", path));
  }
  std::vector<ImageInode*> way{root_.get()};
  if (names.empty()) return Place{root_.get(), ""};
  const std::string last = names.back();
  names.pop_back();
  if (last.size() > kMaxName) return fail(fmt::format("{:?} has too long a name", path));
  for (int links = 0; !names.empty();) {
    const std::string name = std::move(names.front());
    names.pop_front();
    if (TRY(enter(way, name))) continue;
    if (++links > kMaxLinks) return fail(fmt::format("{:?} lies behind too many links", path));
    const std::string& target = way.back()->children_.find(name)->second->target_;
    if (target.starts_with('/')) way.resize(1);
    std::deque<std::string> more = components(target);
    if (names.size() + more.size() > kMaxPath) return fail(fmt::format("{:?} is too long", path));
    names.insert(names.begin(), more.begin(), more.end());
  }
  for (ImageInode* dir : way) dir->touched_ = layer_;
  return Place{way.back(), last};
}

// Whether it was one.
OrFailure<bool> ImageBuilder::whiteout(const Place& at) {
  if (!whiteouts_ || !at.name.starts_with(kWhiteout)) return false;
  if (at.name == kOpaque) {
    prune(*at.dir);
    return true;
  }
  const std::string name = at.name.substr(kWhiteout.size());
  if (name.empty() || name == "." || name == "..") {
    return fail(fmt::format("{:?} is no proper whiteout", now_));
  }
  auto it = at.dir->children_.find(name);
  if (it == at.dir->children_.end()) return true;
  ImageInode& victim = *it->second;
  if (victim.layer_ < layer_ && victim.touched_ < layer_) {
    remove(*at.dir, name);
  } else if (victim.is_dir()) {
    prune(victim);
  }
  return true;
}

OrFailure<void> ImageBuilder::insert_link(const Place& at, const ImageEntry& entry) {
  const Place from = TRY(find_place(entry.target));
  auto it = from.dir->children_.find(from.name);
  if (it == from.dir->children_.end()) {
    return fail(
        fmt::format("{:?} is a hard link to {:?}, which it does not have", now_, entry.target));
  }
  Ref<ImageInode> inode = it->second;
  if (inode->is_dir()) return fail(fmt::format("{:?} is a hard link to a directory", now_));
  if (at.dir == from.dir && at.name == from.name) return {};
  inode->attr_.nlink++;
  inode->layer_ = layer_;
  put(*at.dir, at.name, std::move(inode));
  return {};
}

OrFailure<void> ImageBuilder::insert(const Place& at, const ImageEntry& entry) {
  if (at.name.empty()) {
    if (!S_ISDIR(entry.mode)) return fail("its root is not a directory");
    describe(*root_, entry);
    return {};
  }
  if (entry.hard_link) return insert_link(at, entry);
  if (S_ISDIR(entry.mode)) {
    auto it = at.dir->children_.find(at.name);
    const bool there = it != at.dir->children_.end() && it->second->is_dir();
    ImageInode* dir = there ? it->second.get() : TRY(add_directory(*at.dir, at.name));
    dir->layer_ = layer_;
    describe(*dir, entry);
    return {};
  }
  Ref<ImageInode> inode = new_inode(entry);
  if (S_ISREG(entry.mode)) {
    inode->offset_ = end_;
    end_ += page_up(entry.size);
    open_file_ = inode.get();
  }
  put(*at.dir, at.name, std::move(inode));
  return {};
}

OrFailure<void> ImageBuilder::add(const ImageEntry& entry) {
  open_file_ = nullptr;
  now_ = entry.path;
  if (entry.path.find('\0') != entry.path.npos) return fail("it has a name with a zero byte");
  const Place at = TRY(find_place(entry.path));
  if (TRY(whiteout(at))) return {};
  if (at.name == "..") return fail(fmt::format("{:?} has \"..\" in it", now_));
  if (entry.target.size() >= kMaxPath) return fail(fmt::format("{:?} has too long a target", now_));
  if (S_ISLNK(entry.mode) && entry.target.empty()) {
    return fail(fmt::format("{:?} is a link to nothing", now_));
  }
  uint64_t bytes = S_ISREG(entry.mode) && !entry.hard_link ? entry.size : entry.target.size();
  for (const auto& [name, value] : entry.xattrs) bytes += name.size() + value.size();
  if (bytes < entry.size && S_ISREG(entry.mode) && !entry.hard_link) bytes = UINT64_MAX;
  TRY(charge(bytes));
  return insert(at, entry);
}

OrFailure<void> ImageBuilder::write(uint64_t offset, std::span<const std::byte> bytes) {
  if (!open_file_) return {};  // A hard link that has contents once more: they are the same.
  if (offset > open_file_->size() || bytes.size() > open_file_->size() - offset) {
    return fail(fmt::format("{:?} has more contents than it says", now_));
  }
  if (is_zero(bytes)) return {};  // Holes cost nothing.
  while (!bytes.empty()) {
    auto n = host::pwrite(*store_, bytes, open_file_->offset_ + offset);
    if (!n) return fail(fmt::format("{:?}: {}", now_, strerror(int(n.error()))));
    offset += *n;
    bytes = bytes.subspan(*n);
  }
  return {};
}

OrFailure<FsTree> ImageBuilder::finish() {
  open_file_ = nullptr;
  auto sized = host::ftruncate(*store_, end_);
  if (!sized) return fail(fmt::format("memfd: {}", strerror(int(sized.error()))));
  return FsTree{fs_, Dentry::make_root(root_)};
}

}  // namespace usk
