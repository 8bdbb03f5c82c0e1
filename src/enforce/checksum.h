// Checksums of programs (force) and of log entries.
#pragma once
#include <string>
#include <string_view>

#include "base/failure.h"
#include "base/result.h"
#include "fs/vfs/file.h"

namespace usk {

// Loads and warms up what computes them, while files may be opened and any host call made. Fails
// where the host has no libcrypto.
OrFailure<void> prepare_checksums();

// Lower-case hexadecimal digits. Fails where the host has no libcrypto.
OrFailure<std::string> sha256(std::string_view text);
// Of all of a file; `algorithm` is sha256 or sha512.
Result<std::string> checksum_of(File& file, const std::string& algorithm);

}  // namespace usk
