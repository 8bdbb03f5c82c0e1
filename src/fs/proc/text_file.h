// A file whose text is made when it is read.
#pragma once
#include <memory>

#include "fs/proc/entry.h"
#include "fs/vfs/file.h"

namespace usk::proc {

// The text is made by a read at position 0 and served from then on, so that reading in pieces
// sees one state (Linux: seq_file, for files of less than a buffer).
class TextFile final : public File {
 public:
  TextFile(const Subject& s, const Entry& e, Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)), subject_(s), entry_(e) {}
  Result<size_t> read(IoOut& dst, uint64_t& pos) override EXCLUDES(mu_);
  Result<size_t> write(IoIn& src, uint64_t& pos) override;

 private:
  const Subject subject_;
  const Entry& entry_;
  Mutex<Rank::kFile> mu_;
  std::shared_ptr<const std::string> text_ GUARDED_BY(mu_);
};

// How a link to `path` reads for the caller.
std::string shown(const Path& path);

}  // namespace usk::proc
