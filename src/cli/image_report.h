// What an image holds, for people: usk checkpoint inspect and diff.
#pragma once
#include "base/failure.h"
#include "control/message.h"
#include "state/document.h"
#include "state/image/image.h"

namespace usk {

// An image with its state decoded.
struct OpenedImage {
  std::string dir;
  state::Image image;
  state::Document state;
  static OrFailure<OpenedImage> open(const std::string& dir);
};

// A space of memory: the pages that the image has of it, and whose it is.
struct ImageMemory {
  struct Run {
    uint64_t address, length, at;  // In memory, and in the part.
  };
  std::string owner;  // "12 (python3)", as far as there is one.
  std::vector<Run> runs;
};
OrFailure<std::vector<ImageMemory>> memory_of(const OpenedImage& image);

// The manifest, "objects": [{class, count, bytes}], the largest first, and "memory":
// [{owner, bytes}].
OrFailure<Json> image_report(const OpenedImage& image);
std::string image_table(const OpenedImage& image, const Json& report);
// Everything in the state: {"classes", "roots", "objects": [{id, class, field: value, ...}]}.
Json whole_state(const state::Document& state);

// {"equal", "manifest": {key: [a, b]}, "parts": [{part, sizes, equal}], "classes": [{class, counts,
// fields: {field: objects in which it differs}}], "roots": [names], "memory": [{owner, pages,
// changed, only_a, only_b}]}
OrFailure<Json> image_differences(const OpenedImage& a, const OpenedImage& b);
std::string differences_table(const Json& differences);

}  // namespace usk
