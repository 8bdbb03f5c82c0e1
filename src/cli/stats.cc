#include "cli/stats.h"

#include <fmt/format.h>
#include <string.h>

#include "control/client.h"
#include "control/report.h"
#include "host/file.h"
#include "host/file_io.h"
#include "platform/counters.h"

namespace usk {
namespace {

std::string seconds(int64_t ns) { return fmt::format("{:.2f} s", double(ns) / 1e9); }

std::string mebibytes(int64_t bytes) {
  return fmt::format("{:.1f} MiB", double(bytes) / (1 << 20));
}

template <class Show>
std::string limited(const Json& s, const char* key, const char* limit, Show show) {
  std::string text = show(number_of(s, key));
  if (s.contains(limit) && s[limit].is_number()) text += " of " + show(number_of(s, limit));
  return text;
}

std::string counters_table(const Json& counters) {
  std::string out;
  std::string_view group;
  for (const platform::CounterInfo& c : platform::kCounters) {
    const auto members = counters.find(std::string(c.group));
    if (members == counters.end() || !members->is_object()) continue;
    const int64_t n = number_of(*members, std::string(c.name).c_str());
    if (n == 0) continue;
    if (group != c.group) out += fmt::format("{}\n", group = c.group);
    out += fmt::format("  {:22} {:>14}", c.name, n);
    out += c.what.empty() ? "\n" : fmt::format("  {}\n", c.what);
  }
  return out;
}

std::string place_text(const Json& site) {
  const int64_t address = number_of(site, "address");
  if (!address) return "(many places)";
  const std::string file = text_of(site, "file");
  if (file.empty()) return fmt::format("{:#x}", address);
  return fmt::format("{}+{:#x} ({:#x})", printable(file), number_of(site, "offset"), address);
}

std::string sites_table(const Json& sites) {
  if (!sites.is_array() || sites.empty()) return {};
  std::string out = fmt::format("call sites\n  {:>12} {:>12}  {:18} {}\n", "trapped", "~patched",
                                "call", "place");
  for (const Json& s : sites) {
    if (!s.is_object()) continue;
    std::string call = text_of(s, "call");
    if (call.empty()) call = fmt::format("{}", number_of(s, "nr"));
    out += fmt::format("  {:>12} {:>12}  {:18} {}\n", number_of(s, "trapped"),
                       number_of(s, "patched"), printable(call), place_text(s));
  }
  return out;
}

}  // namespace

std::string stats_table(const Json& s) {
  std::string out;
  auto line = [&](const char* key, const std::string& value) {
    out += fmt::format("{:24} {:>14}\n", key, value);
  };
  auto plain = [](int64_t n) { return std::to_string(n); };
  line("uptime", seconds(number_of(s, "uptime_ns")));
  line("tasks", limited(s, "tasks", "task_limit", plain));
  line("memory", limited(s, "memory_bytes", "memory_limit_bytes", mebibytes));
  for (const char* key :
       {"syscalls", "traps", "faults", "forks", "signals", "wakes", "oom_kills"}) {
    line(key, plain(number_of(s, key)));
  }
  const Json platform = s.value("platform", Json::object());
  if (!platform.is_object()) return out;
  line("platform", printable(text_of(platform, "name")));
  out += counters_table(platform.value("counters", Json::object()));
  return out + sites_table(platform.value("call_sites", Json::array()));
}

Result<void> write_text(int fd, std::string_view text) {
  auto bytes = std::as_bytes(std::span(text));
  while (!bytes.empty()) bytes = bytes.subspan(TRY(host::write(fd, bytes)));
  return {};
}

OrFailure<StatsRequest> StatsRequest::parse(const std::string& value) {
  constexpr std::string_view kJson = "json:";
  StatsRequest r;
  if (value.empty()) return r;
  if (!value.starts_with(kJson) || value.size() == kJson.size()) {
    return fail(fmt::format("--stats={}: give --stats or --stats=json:FILE", value));
  }
  r.file_ = value.substr(kJson.size());
  auto fd = host::create_file(r.file_);
  if (!fd) return fail(fmt::format("--stats={}: {}", value, strerror(int(fd.error()))));
  r.fd_ = std::move(*fd);
  return r;
}

OrFailure<void> StatsRequest::write(Sandbox& sandbox) const {
  const Json report = stats_report(sandbox.kernel());
  const std::string text = file_.empty() ? stats_table(report) : to_text(report, 2) + "\n";
  const auto ok = write_text(file_.empty() ? 2 : fd_.get(), text);
  if (!ok) return fail(fmt::format("cannot write the statistics: {}", strerror(int(ok.error()))));
  return {};
}

}  // namespace usk
