// The texts of /proc/PID that take more than a line to make.
#pragma once
#include "fs/proc/entry.h"

namespace usk::proc {

Result<std::string> stat_text(const Subject& s);
Result<std::string> statm_text(const Subject& s);
Result<std::string> status_text(const Subject& s);
Result<std::string> maps_text(const Subject& s);
Result<std::string> smaps_text(const Subject& s);
Result<std::string> smaps_rollup_text(const Subject& s);
Result<std::string> cmdline_text(const Subject& s);
Result<std::string> environ_text(const Subject& s);
Result<std::string> auxv_text(const Subject& s);
Result<std::string> limits_text(const Subject& s);

}  // namespace usk::proc
