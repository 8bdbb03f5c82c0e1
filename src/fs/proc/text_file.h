// A file whose text is made when it is read.
#pragma once
#include <memory>
#include <optional>

#include "base/budget.h"
#include "fs/proc/entry.h"
#include "fs/vfs/file.h"

namespace usk::proc {

// The text is made by a read at position 0 and served from then on, so that reading in pieces
// sees one state (Linux: seq_file, for files of less than a buffer).
class TextFile final : public File {
 public:
  TextFile(const Subject& s, EntryRef e, Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread, std::move(creds)), subject_(s), entry_(e) {}
  explicit TextFile(Blank b) : File(b), subject_(b), entry_(b) {}
  Result<size_t> read(IoOut& dst, uint64_t& pos) override EXCLUDES(mu_);
  Result<size_t> write(IoIn& src, uint64_t& pos) override;

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<File>("File", *this);
    std::optional<std::string> text;
    if (text_) text = *text_;
    ar.all("subject_, entry_, text_", subject_, entry_, text);
    if constexpr (A::kLoading) {
      if (text && !charge_.set(text->size())) return ar.fail("no memory for a text");
      if (text) text_ = std::make_shared<const std::string>(*std::move(text));
    }
  }
  OrFailure<void> restored(state::Restored& r);

 private:
  Subject subject_;
  EntryRef entry_;
  Mutex<Rank::kFile> mu_;
  std::shared_ptr<const std::string> text_ GUARDED_BY(mu_);
  Charge charge_ GUARDED_BY(mu_);  // For the text.
};

// How a link to `path` reads for the caller.
std::string shown(const Path& path);

}  // namespace usk::proc
