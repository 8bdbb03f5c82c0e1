// For tests: what becomes of an object that is saved and loaded.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "state/saved.h"

namespace usk::state {

// Tells a Writer or a Loader of services and of what exists once; empty: there are none.
using WithWriter = std::function<void(Writer&)>;
using WithLoader = std::function<void(Loader&)>;

template <class T>
OrFailure<std::string> save(const Ref<T>& object, const WithWriter& with = {}) {
  Writer writer("test");
  if (with) with(writer);
  writer.root("object", object);
  return writer.finish();
}

template <class T>
OrFailure<Ref<T>> load(std::string_view image, const WithLoader& with = {}) {
  Loader loader;
  if (with) with(loader);
  TRY(loader.load(image));
  Ref<T> object = TRY(loader.root<T>("object"));
  TRY(loader.finish());
  return object;
}

// The copy that a save and a load make of `object` and all it leads to. What is saved of the copy
// must be what was saved of the original. Null after a failure, which the test then reports.
template <class T>
Ref<T> save_and_load(const Ref<T>& object, const WithWriter& with_writer = {},
                     const WithLoader& with_loader = {}) {
  auto image = save(object, with_writer);
  if (!image) {
    ADD_FAILURE() << image.error().message;
    return nullptr;
  }
  auto copy = load<T>(*image, with_loader);
  if (!copy) {
    ADD_FAILURE() << "image part state: " << copy.error().message;
    return nullptr;
  }
  auto again = save(*copy, with_writer);
  if (!again) {
    ADD_FAILURE() << "the copy: " << again.error().message;
    return nullptr;
  }
  EXPECT_TRUE(*image == *again) << "the copy is saved in other bytes";
  return *copy;
}

}  // namespace usk::state
