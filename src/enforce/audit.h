// A log whose entries vouch for each other: --audit, `usk audit verify`.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "base/failure.h"
#include "base/lock.h"
#include "host/host_fd.h"

namespace usk {

// JSON lines. Each has the SHA-256 of the one before as "prev" and its own as "hash", which is
// taken over the line without its "hash": who changes, drops or swaps lines changes all hashes
// behind. The last line of a whole log says that it is the last.
class AuditLog {
 public:
  static constexpr uint64_t kMaxBytes = uint64_t(1) << 30;

  // Makes the file anew, with a first entry.
  static OrFailure<std::unique_ptr<AuditLog>> make(const std::string& file,
                                                   nlohmann::ordered_json start);
  ~AuditLog();
  // An entry that cannot be written is said so once on standard error; a log that is full says so
  // in an entry, and takes no more.
  void add(nlohmann::ordered_json entry) EXCLUDES(mu_);
  // The last entry.
  void end() EXCLUDES(mu_);

  // Checks a file; what it found in a line for a person, or the line where the chain breaks.
  static OrFailure<std::string> verify(const std::string& file);

 private:
  AuditLog() = default;
  void write_locked(nlohmann::ordered_json entry) REQUIRES(mu_);

  Mutex<Rank::kLeaf> mu_;
  UniqueFd fd_ GUARDED_BY(mu_);
  std::string last_hash_ GUARDED_BY(mu_) = std::string(64, '0');
  uint64_t entries_ GUARDED_BY(mu_) = 0, bytes_ GUARDED_BY(mu_) = 0;
  bool ended_ GUARDED_BY(mu_) = false, failed_ GUARDED_BY(mu_) = false;
};

}  // namespace usk
