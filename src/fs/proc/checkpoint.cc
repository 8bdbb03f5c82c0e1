// /proc/usk/checkpoint, which is Usk's own: a program asks for a checkpoint of its sandbox by
// writing "checkpoint" or a name for the image. The write returns once there is one, in the
// original and in each copy that is made from it. What it reads says which of them this is:
//   role: original | restored | forked
//   generation: how often it came out of an image or another sandbox
#include <fmt/format.h>

#include "fs/proc/inode.h"
#include "fs/proc/system_values.h"
#include "fs/vfs/saving.h"
#include "kernel/kernel.h"

namespace usk::proc {
namespace {

constexpr size_t kMaxName = 32;

// The word that stands there. EINVAL: it cannot be a part of a file's name.
Result<std::string> parse_name(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  if (text == "checkpoint") return std::string();
  constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
  if (text.empty() || text.size() > kMaxName) return Err(EINVAL);
  if (text.find_first_not_of(kAllowed) != text.npos) return Err(EINVAL);
  return std::string(text);
}

std::string text_of(const Origin& origin) {
  const char* role = "original";
  if (origin.role == Origin::Role::kRestored) role = "restored";
  if (origin.role == Origin::Role::kForked) role = "forked";
  return fmt::format("role: {}\ngeneration: {}\n", role, origin.generation);
}

class CheckpointFile final : public File {
 public:
  CheckpointFile(const Subject& s, Path path, int flags, Ref<const Creds> creds)
      : File(std::move(path), flags, kSeek | kPread | kCanPoll, std::move(creds)), subject_(s) {}
  explicit CheckpointFile(Blank b) : File(b), subject_(b) {}

  Result<size_t> read(IoOut& dst, uint64_t& pos) override {
    const std::string text = text_of(subject_.kernel().origin);
    if (pos >= text.size()) return 0;
    const size_t n = TRY(dst.put(std::as_bytes(std::span(text)).subspan(pos)));
    pos += n;
    return n;
  }

  // The first write asks, and whoever writes again after that gets the answer.
  Result<size_t> write(IoIn& src, uint64_t& pos) override EXCLUDES(mu_) {
    {
      Lock lock(mu_);
      if (state_ == State::kAsked) return Err(EAGAIN);
      if (state_ == State::kAnswered) {
        state_ = State::kIdle;
        if (error_) return Err(error_);
        pos += src.size();
        return src.size();
      }
    }
    TRY(ask(src));
    return Err(EAGAIN);
  }

  PollMask poll() override EXCLUDES(mu_) {
    Lock lock(mu_);
    return state_ == State::kAsked ? POLLIN | POLLRDNORM
                                   : POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
  }

  template <class A>
  void fields(A& ar) NO_THREAD_SAFETY_ANALYSIS {
    ar.template base<File>("File", *this);
    ar.all("subject_, state_, error_", subject_, state_, error_);
  }
  OrFailure<void> restored(state::Restored& r) {
    TRY(File::restored(r));
    TRY(subject_.check(inode()));
    Lock lock(mu_);
    if (error_ < 0 || error_ > 4095) return fail("an error that is none");
    if (state_ != State::kAnswered) state_ = State::kIdle;  // Nobody here knows that it asked.
    return {};
  }

 private:
  enum class State : uint8_t { kIdle, kAsked, kAnswered };
  friend constexpr State saved_max(State) { return State::kAnswered; }

  Result<void> ask(IoIn& src) EXCLUDES(mu_) {
    const auto& hook = subject_.kernel().hooks.ask_checkpoint;
    if (!hook) return Err(EOPNOTSUPP);
    std::string text(std::min<size_t>(src.size(), kMaxName + 2), '\0');
    text.resize(TRY(src.take(std::as_writable_bytes(std::span(text)))));
    std::string name = TRY(parse_name(text));
    {
      Lock lock(mu_);
      state_ = State::kAsked;
    }
    auto asked = hook(std::move(name), [self = Ref<CheckpointFile>::share(this)](Result<void> r) {
      self->answer(r);
    });
    if (asked) return {};
    Lock lock(mu_);
    state_ = State::kIdle;
    return asked;
  }

  void answer(Result<void> result) EXCLUDES(mu_) {
    {
      Lock lock(mu_);
      state_ = failed_with(result, EINPROGRESS) ? State::kAsked : State::kAnswered;
      error_ = result ? 0 : int(result.error());
    }
    queue().wake(POLLOUT | POLLWRNORM);
  }

  Subject subject_;
  Mutex<Rank::kFile> mu_;
  State state_ GUARDED_BY(mu_) = State::kIdle;
  int error_ GUARDED_BY(mu_) = 0;
};

class CheckpointInode final : public ProcInode {
 public:
  CheckpointInode(const Subject& s, Ino ino) : ProcInode(s, ino, S_IFREG | 0666) {}
  explicit CheckpointInode(Blank b) : ProcInode(b) {}
  USK_FIELDS_OF(ProcInode)
  Result<Ref<File>> open(Path path, int flags, Ref<const Creds> creds) override {
    return make_ref<CheckpointFile>(subject(), std::move(path), flags, std::move(creds));
  }
};

Ref<Inode> make_checkpoint_file(const Subject& s, Ino ino, const Entry&) {
  return make_ref<CheckpointInode>(s, ino);
}

constexpr Entry kUsk[] = {
    {.name = "checkpoint", .mode = S_IFREG | 0666, .make = make_checkpoint_file},
};

}  // namespace

USK_SAVED(CheckpointFile, "fs/proc/checkpoint-file")
USK_SAVED(CheckpointInode, "fs/proc/checkpoint-inode")

static const NamedTable kUskTable("usk", kUsk);

Ref<Inode> make_usk_dir(const Subject& s, Ino ino, const Entry& e) {
  return make_ref<TableDir>(s, ino, e.mode, kUsk);
}

}  // namespace usk::proc
