// What an image says of itself.
#pragma once
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace usk::state {

constexpr size_t kMaxParts = 10'000;
constexpr size_t kMaxManifest = 4 << 20;

// Small letters, digits, '-' and '.'; no name of a file that means something else.
bool is_part_name(std::string_view name);

struct Part {
  std::string name;
  uint64_t size = 0;  // Of the file, whose checksum it is.
  uint64_t checksum = 0;
  bool compressed = false;  // By frames.h.
  uint64_t plain_size = 0;  // Of what it holds; without compression, size.
  std::string map;          // The part that says where its bytes are (page_map.h), or nothing.
};

// The image that another one refers to.
struct Base {
  std::string path;      // From the directory that the other one lies in, or absolute.
  std::string checksum;  // Of its manifest.
};

struct Manifest {
  std::string build;                      // Of the command that wrote it.
  std::string platform;                   // It ran on.
  std::vector<std::string> cpu_features;  // That the guest may have seen.
  int64_t monotonic_ns = 0;               // The guest's clocks when it was paused.
  int64_t realtime_ns = 0;
  uint64_t generation = 0;
  std::vector<Part> parts;
  std::optional<Base> base;
  std::string checksum;                             // Of the text that was parsed.
  nlohmann::json facts = nlohmann::json::object();  // What else commands want to know.

  // JSON, which holds its own checksum.
  std::string to_text() const;
  static OrFailure<Manifest> parse(std::string_view text);
  const Part* find(std::string_view name) const;
};

}  // namespace usk::state
