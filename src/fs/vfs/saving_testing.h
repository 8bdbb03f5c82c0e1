// For tests of files and file systems: a save and a load with all that they need, in memory.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "fs/vfs/fd_table.h"
#include "fs/vfs/saving.h"
#include "state/image/contents.h"
#include "state/singletons.h"

namespace usk::testing {

struct SavedFiles {
  std::string state;
  std::optional<state::Image> image;  // With the contents of memory files.

  template <class T, class Service = int>
  static OrFailure<SavedFiles> save(const Ref<T>& object, Service* service = nullptr) {
    SavedFiles saved;
    state::ContentsWriter contents;
    state::Writer writer("test");
    writer.services().add(&contents);
    if (service) writer.services().add(service);
    state::save_singletons(writer);
    writer.root("object", object);
    saved.state = TRY(writer.finish());
    auto image = state::ImageWriter::in_memory();
    TRY(contents.write(image));
    saved.image = TRY(image.finish({}));
    return saved;
  }

  // `prepare` adds services.
  template <class T>
  OrFailure<Ref<T>> load(const std::function<void(state::Loader&)>& prepare = {}) const {
    auto contents = TRY(state::ContentsReader::open(*image));
    state::Loader loader;
    loader.services().add(&contents);
    if (prepare) prepare(loader);
    state::name_singletons(loader);
    TRY(loader.load(state));
    TRY(state::load_singletons(loader));
    Ref<T> object = TRY(loader.root<T>("object"));
    TRY(loader.finish());
    return object;
  }
};

// The copy of `object` that a save and a load make, of which the same is saved again. Null after a
// failure, which is reported.
template <class T>
Ref<T> save_and_load_files(const Ref<T>& object,
                           const std::function<void(state::Loader&)>& prepare = {}) {
  auto saved = SavedFiles::save(object);
  if (!saved) {
    ADD_FAILURE() << saved.error().message;
    return nullptr;
  }
  auto copy = saved->template load<T>(prepare);
  if (!copy) {
    ADD_FAILURE() << "image part state: " << copy.error().message;
    return nullptr;
  }
  auto again = SavedFiles::save(*copy);
  if (!again) {
    ADD_FAILURE() << "the copy: " << again.error().message;
    return nullptr;
  }
  const auto [a, b] = std::ranges::mismatch(saved->state, again->state);
  EXPECT_TRUE(a == saved->state.end() && b == again->state.end())
      << "another byte at " << a - saved->state.begin();
  return *copy;
}

// What a process has of files, as far as tests want it.
struct SavedProcess final : RefCounted {
  Ref<MountNamespace> mounts;
  Path root;
  Ref<const Creds> creds;
  Ref<FdTable> fds;
  std::vector<Ref<File>> files;
  USK_FIELDS(mounts, root, creds, fds, files)
};

}  // namespace usk::testing
