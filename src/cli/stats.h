// What usk stats and usk run --stats print.
#pragma once
#include <optional>
#include <string>

#include "base/failure.h"
#include "boot/sandbox.h"
#include "control/message.h"

namespace usk {

// A stats report (control/report.h) as a table for people. What a guest chose is made printable;
// counters that are zero are left out.
std::string stats_table(const Json& report);

// --stats[=json:FILE]
class StatsRequest {
 public:
  // What was written behind --stats; empty when nothing was.
  static OrFailure<StatsRequest> parse(const std::string& value);
  // Shows what the sandbox has used, now that it has ended.
  OrFailure<void> write(Sandbox& sandbox) const;

 private:
  std::string file_;  // Empty: a table on standard error.
  UniqueFd fd_;
};

// All of it.
Result<void> write_text(int fd, std::string_view text);

}  // namespace usk
