// Where and as whom Usk was started.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace usk::host {

std::string current_directory();                                   // Empty when it cannot be told.
std::vector<std::string> list_directory(const std::string& path);  // Names; empty on failure.
// The variable's value, or nothing (empty and false).
bool environment(const std::string& name, std::string& value);
std::vector<std::string> environment_names();

}  // namespace usk::host
