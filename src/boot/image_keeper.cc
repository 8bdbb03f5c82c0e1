#include "boot/image_keeper.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <string.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "host/file.h"

namespace usk {
namespace {

constexpr const char* kLatest = "latest";
constexpr const char* kNewLatest = "latest.new";

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
  TRY(begin("trial"));  // Removed at once.
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

OrFailure<state::ImageWriter> ImageKeeper::begin(const std::string& name) const {
  const std::vector<std::string> all = TRY(names(/*finished=*/true));
  const uint64_t last = all.empty() ? 0 : *number_of_name(all.back());
  return state::ImageWriter::create_in(
      dir_, fmt::format("{:06}{}{}", last + 1, name.empty() ? "" : "-", name));
}

OrFailure<void> ImageKeeper::placed() const {
  const std::vector<std::string> all = TRY(names(/*finished=*/true));
  if (all.empty()) return {};
  (void)host::unlink_at(*dir_, kNewLatest, 0);
  auto linked = host::symlink_at(all.back(), *dir_, kNewLatest);
  if (linked) linked = host::rename_at(*dir_, kNewLatest, *dir_, kLatest, 0);
  if (!linked) return cannot(linked.error());
  for (size_t i = 0; i + plan_.keep < all.size(); i++) state::remove_image(*dir_, all[i]);
  return {};
}

}  // namespace usk
