// A directory in which a sandbox keeps the last images of itself: 000001, 000002-NAME, ..., and a
// link "latest" to the last. Where that pays, an image refers to the last whole one before it,
// which stays for as long: so it is one image more at most, and any of them takes two to restore.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "boot/config.h"
#include "state/image/image.h"
#include "state/image/page_map.h"

namespace usk {

class ImageKeeper {
 public:
  // Makes the directory if it is not there, and has it for itself. Before the kernel process is
  // confined.
  static OrFailure<ImageKeeper> open(const ImagesPlan& plan);
  // ... and after: that it can be written. Removes what was not finished.
  OrFailure<void> check() const;

  // The next image; `name` may be empty.
  struct Begun {
    state::ImageWriter image;   // For who fills its files, and ...
    state::ImageWriter placer;  // ... for who places it.
    std::string name;
    bool is_whole = true;
    std::shared_ptr<state::ImageNotes> notes;  // Null: none will refer to it.
  };
  OrFailure<Begun> begin(const std::string& name) const;
  // It stands in its place: links it, removes older ones. Their files, which hold the host's memory
  // until they are closed.
  OrFailure<std::vector<Ref<HostFd>>> placed(const Begun& image);
  const Ref<HostFd>& directory() const { return dir_; }

 private:
  ImageKeeper(Ref<HostFd> dir, ImagesPlan plan) : dir_(std::move(dir)), plan_(std::move(plan)) {}
  // The names of images, or of what was to become one, in order of their numbers.
  OrFailure<std::vector<std::string>> names(bool finished) const;
  std::unexpected<Failure> cannot(Errno why) const;
  // The image beside it that one refers to; "": none.
  const std::string& base_of(const std::string& name);
  std::string read_base(const std::string& name) const;
  // Whether the next image is to refer to whole_.
  bool has_base() const;
  OrFailure<void> link_latest(const std::string& name) const;
  std::vector<std::string> superfluous(const std::vector<std::string>& all);

  Ref<HostFd> dir_;
  ImagesPlan plan_;
  std::map<std::string, std::string> bases_;        // By base_of().
  std::string whole_;                               // The last whole image of this process, ...
  std::shared_ptr<const state::ImageNotes> pages_;  // ... what it holds, ...
  uint64_t referring_ = 0;                          // ... how many images refer to it, ...
  bool pays_ = false;                               // ... and whether the last one should have.
};

}  // namespace usk
