// Where a sandbox keeps images of itself: flags of usk run and usk restore.
#include "cli/commands.h"

namespace usk {

std::string parse_duration(const std::string& text, int64_t& ns) {
  char* end = nullptr;
  const double n = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  double scale = 1e9;
  if (unit == "ms")
    scale = 1e6;
  else if (unit == "m")
    scale = 60e9;
  else if (unit == "h")
    scale = 3600e9;
  else if (!unit.empty() && unit != "s")
    return "give a duration such as 10s, 500ms or 2m";
  if (end == text.c_str() || n <= 0 || n * scale > 9e18) return "give a duration such as 10s";
  ns = int64_t(n * scale);
  return {};
}

namespace {

// "10s:DIR"
std::string parse_autosave(const std::string& text, SandboxConfig& c) {
  const size_t colon = text.find(':');
  if (colon == text.npos || colon + 1 == text.size()) return "give how often and where: 10s:DIR";
  c.autosave.dir = text.substr(colon + 1);
  return parse_duration(text.substr(0, colon), c.autosave_ns);
}

}  // namespace

void add_image_flags(CLI::App* cmd, SandboxConfig& c) {
  const CLI::Range some(uint64_t(1), uint64_t(1'000'000));
  cmd->add_option_function<std::string>(
         "--autosave",
         [&c](const std::string& v) {
           if (auto e = parse_autosave(v, c); !e.empty()) {
             throw CLI::ValidationError("--autosave", e);
           }
         },
         "Save the sandbox so often as images in this directory (10s:DIR)")
      ->type_name("TIME:DIR");
  cmd->add_option("--autosave-keep", c.autosave.keep, "Keep so many of them (5)")->check(some);
  c.autosave.refers = true;
  cmd->add_flag_function(
      "--autosave-whole", [&c](int64_t) { c.autosave.refers = false; },
      "Each of them is whole; else most leave out the pages of memory that an earlier one has");
  cmd->add_option("--checkpoints", c.asked.dir,
                  "Programs inside may ask for images in this directory (/proc/usk/checkpoint)")
      ->type_name("DIR");
  cmd->add_option("--checkpoints-keep", c.asked.keep, "Keep so many of them (5)")->check(some);
  cmd->add_option_function<std::string>(
         "--compress",
         [&c](const std::string& v) { c.autosave.compressed = c.asked.compressed = v == "zstd"; },
         "How all these images are compressed: zstd, or none")
      ->check(CLI::IsMember({"none", "zstd"}));
}

}  // namespace usk
