// Saved state as anybody can read it, without the classes that wrote it
// (docs/checkpoint-format.md).
#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/failure.h"

namespace usk::state {

// Values are as they stand there: what is a struct (a class's number and its fields' values), a
// reference (an object's number) or just numbers does not show.
struct Document {
  struct Class {
    std::string name;
    std::vector<std::string> fields;
  };
  struct Object {
    size_t class_number = 0;
    size_t bytes = 0;                    // That it takes in the image.
    std::vector<nlohmann::json> values;  // One for each field of its class.
  };

  std::string build;
  std::vector<Class> classes;
  std::vector<std::pair<std::string, nlohmann::json>> roots;
  std::vector<Object> objects;

  // The part "state".
  static OrFailure<Document> parse(std::string_view text);
  const nlohmann::json* root(std::string_view name) const;
  const std::string& class_of(const Object& object) const {
    return classes[object.class_number].name;
  }
};

// As text can show it: byte strings become "0x..." in hexadecimal digits, cut behind 64 bytes.
nlohmann::json shown(const nlohmann::json& value);

}  // namespace usk::state
