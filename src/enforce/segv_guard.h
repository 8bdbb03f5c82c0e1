// SegvGuard: a program that crashes again and again is not started for a while, since whoever
// attacks it may be guessing addresses.
#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>

namespace usk {

// Times are those of CLOCK_MONOTONIC, in nanoseconds. Remembers a bounded number of programs: the
// guest chooses their names.
class SegvGuard {
 public:
  static constexpr size_t kMostPrograms = 256;
  static constexpr uint64_t kMostCrashes = 1000;
  struct Limits {
    uint64_t expiry_s = 0;  // How long a crash counts; 0: none does.
    uint64_t suspension_s = 0;
    uint64_t most = 0;  // So many crashes suspend; at least 1, at most kMostCrashes.
  };

  // True: it is suspended from now on.
  bool crashed(const std::string& program, int64_t now, const Limits& limits);
  bool is_suspended(const std::string& program, int64_t now);

 private:
  struct Record {
    std::deque<int64_t> crashes;  // The oldest first.
    int64_t suspended_until = 0;
  };
  void make_room(int64_t now);

  std::unordered_map<std::string, Record> programs_;
};

}  // namespace usk
