#include "boot/image_keeper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "boot/checkpoint.h"
#include "host/file.h"
#include "host/file_io.h"
#include "state/image/contents.h"

namespace usk {
namespace {

constexpr const char* kLatest = "latest";
constexpr const char* kNewLatest = "latest.new";
constexpr const char* kTrial = "000000-trial";
// After so many a whole one again: what happens to it happens to all that refer to it.
constexpr uint64_t kMostReferring = 32;

// The number that a name of ours begins with.
std::optional<uint64_t> number_of_name(std::string_view name) {
  uint64_t n = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
  const size_t digits = size_t(end - name.data());
  if (error != std::errc() || digits < 6) return std::nullopt;
  const std::string_view rest = name.substr(digits);
  if (!rest.empty() && rest[0] != '-' && rest[0] != '.') return std::nullopt;
  return n;
}

bool is_unfinished(std::string_view name) { return name.find(".tmp-") != name.npos; }

}  // namespace

std::unexpected<Failure> ImageKeeper::cannot(Errno why) const {
  return fail(fmt::format("images in {}: {}", plan_.dir, strerror(int(why))));
}

OrFailure<ImageKeeper> ImageKeeper::open(const ImagesPlan& plan) {
  std::error_code made;
  std::filesystem::create_directory(plan.dir, made);  // Or it is there: opened next.
  auto place = host::open_dir(plan.dir);
  if (!place) return fail(fmt::format("images in {}: {}", plan.dir, strerror(int(place.error()))));
  auto dir = host::open_beneath(**place, ".", O_RDONLY | O_DIRECTORY);
  if (!dir) return fail(fmt::format("images in {}: {}", plan.dir, strerror(int(dir.error()))));
  if (auto locked = host::try_lock_exclusive(**dir); !locked) {
    if (failed_with(locked, EWOULDBLOCK)) {
      return fail(fmt::format("images in {}: another sandbox keeps its own there", plan.dir));
    }
    return fail(fmt::format("images in {}: {}", plan.dir, strerror(int(locked.error()))));
  }
  return ImageKeeper(std::move(*dir), plan);
}

OrFailure<void> ImageKeeper::check() const {
  for (const std::string& name : TRY(names(/*finished=*/false))) {
    state::remove_image(*dir_, name);
  }
  TRY(state::ImageWriter::create_in(dir_, kTrial));  // Removed at once.
  return {};
}

OrFailure<std::vector<std::string>> ImageKeeper::names(bool finished) const {
  auto fresh = host::open_beneath(*dir_, ".", O_RDONLY | O_DIRECTORY);
  if (!fresh) return cannot(fresh.error());
  const auto entries = host::read_dir(**fresh);
  if (!entries) return cannot(entries.error());
  std::vector<std::string> names;
  for (const host::HostDirEntry& e : *entries) {
    if (number_of_name(e.name) && is_unfinished(e.name) != finished) names.push_back(e.name);
  }
  std::ranges::sort(names, {}, [](const std::string& n) { return *number_of_name(n); });
  return names;
}

std::string ImageKeeper::read_base(const std::string& name) const {
  const auto file = host::open_beneath(*dir_, name + "/manifest", O_RDONLY | O_NONBLOCK);
  const auto size = file ? host::lseek(**file, 0, SEEK_END) : Err(ENOENT);
  if (!size || *size > state::kMaxManifest) return {};
  std::string text(*size, '\0');
  const auto n = host::pread(**file, std::as_writable_bytes(std::span(text)), 0);
  const auto manifest = state::Manifest::parse(text);
  return n && manifest && manifest->base ? manifest->base->path : std::string();
}

const std::string& ImageKeeper::base_of(const std::string& name) {
  const auto [it, is_new] = bases_.try_emplace(name);
  if (is_new) it->second = read_base(name);
  return it->second;
}

bool ImageKeeper::has_base() const {
  return pages_ && pays_ && referring_ < kMostReferring &&
         host::stat_at(*dir_, whole_ + "/manifest");
}

OrFailure<ImageKeeper::Begun> ImageKeeper::begin(const std::string& name) const {
  const std::vector<std::string> all = TRY(names(/*finished=*/true));
  const uint64_t last = all.empty() ? 0 : *number_of_name(all.back());
  const std::string full = fmt::format("{:06}{}{}", last + 1, name.empty() ? "" : "-", name);
  std::vector<std::string_view> parts(std::begin(kImageParts), std::end(kImageParts));
  state::ImageForm form{.compressed = plan_.compressed};
  if (plan_.refers) form.notes = std::make_shared<state::ImageNotes>();
  if (has_base()) {
    form.base = state::Base{whole_, pages_->checksum};
    form.base_notes = pages_;
    parts.push_back(state::kPagesMap);
  }
  auto placer = TRY(state::ImageWriter::create_in(dir_, full));
  Begun begun{.image = state::ImageWriter::into(TRY(placer.make_files(parts))),
              .placer = std::move(placer),
              .name = full,
              .is_whole = !form.base,
              .notes = form.notes};
  TRY(begun.image.set_form(std::move(form)));
  return begun;
}

OrFailure<void> ImageKeeper::link_latest(const std::string& name) const {
  (void)host::unlink_at(*dir_, kNewLatest, 0);
  auto linked = host::symlink_at(name, *dir_, kNewLatest);
  if (linked) linked = host::rename_at(*dir_, kNewLatest, *dir_, kLatest, 0);
  if (!linked) return cannot(linked.error());
  return {};
}

// The oldest, but for those that others refer to.
std::vector<std::string> ImageKeeper::superfluous(const std::vector<std::string>& all) {
  if (all.size() <= plan_.keep) return {};
  std::vector<std::string> old(all.begin(), all.end() - int64_t(plan_.keep));
  std::vector<std::string> kept(all.end() - int64_t(plan_.keep), all.end());
  for (size_t i = 0; i < kept.size(); i++) {
    const auto base = std::ranges::find(old, base_of(kept[i]));
    if (base == old.end()) continue;
    kept.push_back(*base);
    old.erase(base);
  }
  return old;
}

OrFailure<std::vector<Ref<HostFd>>> ImageKeeper::placed(const Begun& image) {
  if (image.notes && image.is_whole) {
    whole_ = image.name;
    pages_ = image.notes;
    referring_ = 0;
    pays_ = true;
  } else if (image.notes) {
    referring_++;
    pays_ = image.notes->fresh <= image.notes->found;
  }
  const std::vector<std::string> all = TRY(names(/*finished=*/true));
  if (all.empty()) return {};
  TRY(link_latest(all.back()));
  std::vector<Ref<HostFd>> large;
  for (const std::string& name : superfluous(all)) {
    for (const char* part : {kMemoryPart, state::kContentsPart}) {
      auto file = host::open_beneath(*dir_, fmt::format("{}/{}", name, part), O_RDONLY);
      if (file) large.push_back(*file);
    }
    state::remove_image(*dir_, name);
    bases_.erase(name);
  }
  return large;
}

}  // namespace usk
