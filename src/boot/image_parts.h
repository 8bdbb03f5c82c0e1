// What an image has to do with the host that it was made on.
#pragma once
#include <string>
#include <vector>

#include "base/failure.h"
#include "host/host_fd.h"

namespace usk {

// Extensions of this processor that programs can see (cpuid).
std::vector<std::string> processor_features();
// Fails where one of these is missing, naming it.
OrFailure<void> check_processor(const std::vector<std::string>& wanted);

// A host descriptor of this process for one of those that the saved sandbox had: "stdin", "stdout",
// "stderr"; another's place takes one that has nothing to read and nowhere to write.
OrFailure<UniqueFd> open_role(const std::string& role);

}  // namespace usk
