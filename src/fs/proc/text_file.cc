#include "fs/proc/text_file.h"

#include "fs/vfs/saving.h"

namespace usk::proc {

USK_SAVED(TextFile, "fs/proc/text-file")

OrFailure<void> TextFile::restored(state::Restored& r) {
  TRY(File::restored(r));
  return subject_.check(inode());
}

Result<size_t> TextFile::read(IoOut& dst, uint64_t& pos) {
  std::shared_ptr<const std::string> text;
  {
    Lock lock(mu_);
    text = text_;
  }
  if (pos == 0 || !text) {
    if (!entry_->text) return Err(EINVAL);
    text = std::make_shared<const std::string>(TRY(entry_->text(subject_)));
    Lock lock(mu_);
    if (!charge_.set(text->size())) return Err(ENOMEM);
    text_ = text;
  }
  if (pos >= text->size()) return 0;
  const size_t n = std::min<size_t>(dst.size(), text->size() - pos);
  const size_t done = TRY(dst.put(std::as_bytes(std::span(*text).subspan(pos, n))));
  pos += done;
  return done;
}

Result<size_t> TextFile::write(IoIn& src, uint64_t& pos) {
  constexpr size_t kMost = 4096;  // Linux: a page.
  if (!entry_->write) return Err(EINVAL);
  std::string text(std::min(src.size(), kMost), '\0');
  text.resize(TRY(src.take(std::as_writable_bytes(std::span(text)))));
  TRY(entry_->write(subject_, text));
  pos += text.size();
  return text.size();
}

}  // namespace usk::proc
