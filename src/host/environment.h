// Where and as whom Usk was started.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace usk::host {

// Where the process was started; empty when it cannot be told.
const std::string& current_directory();
std::vector<std::string> list_directory(const std::string& path);  // Names; empty on failure.
// The variable's value, or nothing (empty and false).
bool environment(const std::string& name, std::string& value);
std::vector<std::string> environment_names();

}  // namespace usk::host
